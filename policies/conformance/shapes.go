package conformance

import (
	"math/rand/v2"
)

// A shape makes scripts of one kind, by chance.
type shape struct {
	name string
	cues func(r *rand.Rand, budget *int) []cue // *budget is MiB
}

// shapes are the kinds of lives that a policy may have.
var shapes = []shape{
	{"loops", loops},
	{"blocks", blocks},
	{"concurrent", concurrent},
	{"constraints", constraints},
	{"cuts", cuts},
	{"faults", faults},
	{"exchanges", exchanges},
	{"small", small},
	{"wild", wild},
}

// scripts are some of each shape.
func (s *suite) scripts(each int) (list []*script) {
	for i, sh := range shapes {
		for n := range each {
			list = append(list, s.script(sh, uint64(i*1000+n)))
		}
	}
	return list
}

func (s *suite) script(sh shape, n uint64) *script {
	var budget int
	cues := sh.cues(rand.New(rand.NewPCG(s.cfg.Seed, n)), &budget)
	return &script{name: sh.name, budget: max(mebi(budget), 1), cues: cues}
}

// exchanges are the scripts for saved state: short, since each is told many times; and of
// different sizes, since what is saved in one is restored in the others, too.
func (s *suite) exchanges() (list []*script) {
	for i, n := range []int{6, 4, 3} {
		of := func(r *rand.Rand, budget *int) []cue { return handover(r, budget, n) }
		list = append(list, s.script(shape{"handover", of}, 5000+uint64(i)))
	}
	return list
}

// between is a number from low to high.
func between(r *rand.Rand, low, high int) int { return low + r.IntN(high-low+1) }

// parts registers components and returns the sum of their sizes, in MiB.
func parts(r *rand.Rand, n, least, most int, kinds ...int) (cues []cue, total int) {
	for range n {
		size := between(r, least, most)
		cues = append(cues, cue{register, size, kinds[r.IntN(len(kinds))], r.IntN(n)})
		total += size
	}
	return cues, total
}

// pipeline is a request as diffusion has it: components 0 to n-3 once, the one before the
// last again and again, the last one in the end and now and then.
func pipeline(r *rand.Rand, which, n int) (cues []cue) {
	cues = append(cues, cue{begin, which, r.IntN(2) * n, 0})
	for c := range max(n-2, 0) {
		within := 0
		if r.IntN(8) == 0 {
			within = outside
		}
		cues = append(cues, cue{forward, c, within, 5})
	}
	preview := r.IntN(4) == 0
	for range between(r, 4, 14) {
		cues = append(cues, cue{forwardFat, n - 2, 0, r.IntN(300)})
		if preview {
			cues = append(cues, cue{forward, n - 1, 0, 1})
		}
	}
	return append(cues, cue{forward, n - 1, 0, 20}, cue{wait, r.IntN(100), 0, 0}, cue{end, 0, 0, 0})
}

func loops(r *rand.Rand, budget *int) []cue {
	n := between(r, 3, 7)
	cues, total := parts(r, n, 40, 900, plain, plain, plain, dirty, fromFile)
	*budget = total*between(r, 50, 95)/100 + 300
	for i := range 8 {
		if r.IntN(3) == 0 {
			cues = append(cues, cue{enqueue, i % 2, 0, 0})
		}
		cues = append(cues, pipeline(r, i%2, n)...)
	}
	return cues
}

func blocks(r *rand.Rand, budget *int) []cue {
	n := between(r, 8, 30)
	cues := []cue{{register, between(r, 50, 400), plain, 0}, {register, between(r, 1, 40), plain, 0}}
	size := between(r, 20, 120)
	for range n {
		cues = append(cues, cue{register, size, child, 1})
	}
	*budget = 500 + n*size*between(r, 30, 90)/100
	for i := range 3 {
		cues = append(cues, cue{begin, i % 2, 0, 0}, cue{forward, 0, 0, 3})
		for range between(r, 2, 4) {
			cues = append(cues, cue{enter, 1, 0, 10})
			for b := range n {
				cues = append(cues, cue{forward, 2 + b, 0, 1})
			}
			cues = append(cues, cue{exit, 0, 0, 0})
		}
		cues = append(cues, cue{end, 0, 0, 0})
	}
	return cues
}

func concurrent(r *rand.Rand, budget *int) []cue {
	n := between(r, 4, 12)
	cues, total := parts(r, n, 30, 500, plain, plain, dirty)
	*budget = max(total*between(r, 40, 80)/100, 600)
	open := 0
	for range 200 {
		switch k := r.IntN(10); {
		case open == 0 || k == 0 && open < 4:
			cues = append(cues, cue{begin, r.IntN(3), 0, 0})
			open++
		case k == 1:
			cues = append(cues, cue{end, r.IntN(open), 0, 0})
			open--
		case k < 5:
			cues = append(cues, cue{call, r.IntN(n), r.IntN(4), r.IntN(100)})
		case k < 8:
			cues = append(cues, cue{exit, r.IntN(8), 0, 0})
		default:
			cues = append(cues, cue{wait, r.IntN(30), 0, 0})
		}
	}
	return cues
}

// constraints has components that must not go: the first ones are excluded and kept, one
// is in use all the time, and there is always something missing.
func constraints(r *rand.Rand, budget *int) []cue {
	cues := []cue{{register, between(r, 30, 200), excluded, 0}, {register, between(r, 30, 200), kept, 0}, {register, between(r, 30, 200), plain, 0}}
	total := 600
	rest, sum := parts(r, 6, 60, 300, plain, dirty, kept)
	cues = append(cues, rest...)
	*budget = total + sum*between(r, 35, 60)/100
	for i := range 6 {
		cues = append(cues, cue{begin, i % 2, 0, 0}, cue{forward, 1, 0, 1}, cue{enter, 2, 0, 0})
		for range 12 {
			cues = append(cues, cue{forwardFat, 3 + r.IntN(6), 0, r.IntN(100)})
		}
		cues = append(cues, cue{exit, 0, 0, 0}, cue{end, 0, 0, 0})
	}
	return cues
}

// cuts has budgets and neighbours that change.
func cuts(r *rand.Rand, budget *int) []cue {
	n := between(r, 3, 6)
	cues, total := parts(r, n, 40, 600, plain, dirty)
	*budget = total
	for i := range 6 {
		for _, c := range pipeline(r, i%2, n) {
			switch r.IntN(8) {
			case 0:
				cues = append(cues, cue{cut, total * between(r, 30, 120) / 100, 0, 0})
			case 1:
				cues = append(cues, cue{foreign, total * between(r, 0, 50) / 100, 0, 0})
			}
			cues = append(cues, c)
		}
	}
	return cues
}

// faults has copies that fail and a device that is lost.
func faults(r *rand.Rand, budget *int) []cue {
	n := between(r, 3, 6)
	cues, total := parts(r, n, 40, 600, plain, dirty)
	*budget = max(total*between(r, 50, 100)/100, 700)
	for i := range 6 {
		for _, c := range pipeline(r, i%2, n) {
			switch r.IntN(16) {
			case 0, 1:
				cues = append(cues, cue{fail, r.IntN(2), 0, 0})
			case 2:
				cues = append(cues, cue{lose, 0, 0, 0})
			}
			cues = append(cues, c)
		}
	}
	return cues
}

// exchanges has policies that take over in the middle of requests and of calls.
func exchanges(r *rand.Rand, budget *int) []cue {
	n := between(r, 4, 7)
	cues, total := parts(r, n, 40, 600, plain, plain, dirty)
	*budget = max(total*between(r, 45, 80)/100, 700)
	for i := range 6 {
		for _, c := range pipeline(r, i%2, n) {
			if r.IntN(10) == 0 {
				cues = append(cues, cue{exchange, 0, 0, 0})
			}
			if r.IntN(20) == 0 {
				cues = append(cues, cue{enter, r.IntN(n), 0, 0}, cue{exchange, 0, 0, 0})
			}
			cues = append(cues, c)
		}
		cues = append(cues, cue{exit, 0, 0, 0}, cue{exit, 0, 0, 0}, cue{end, 0, 0, 0})
	}
	return cues
}

// handover has one policy that takes over in the middle of what repeats, with n components.
func handover(r *rand.Rand, budget *int, n int) []cue {
	cues, total := parts(r, n, 100, 400, plain, plain, dirty)
	*budget = max(total*between(r, 50, 75)/100, 700)
	for i := range 5 {
		if i == 3 {
			cues = append(cues, cue{exchange, 0, 0, 0})
		}
		cues = append(cues, pipeline(r, i%2, n)...)
	}
	return cues
}

// small has next to nothing, or what is larger than the budget, and sizes of nothing.
func small(r *rand.Rand, budget *int) []cue {
	n := between(r, 1, 3)
	cues := []cue{{begin, 0, 0, 0}, {end, 0, 0, 0}} // before there is anything
	rest, total := parts(r, n, 0, 200, plain, dirty, child, fromFile)
	cues = append(append(cues, rest...), cue{register, 0, plain, 0}, cue{register, 5000, plain, 0})
	*budget = max(total*between(r, 30, 110)/100, 1)
	for i := range 8 {
		cues = append(cues, cue{begin, i, 0, 0})
		for range 6 {
			cues = append(cues, cue{forward, r.IntN(n + 2), r.IntN(3) + outside, 1})
		}
		cues = append(cues, cue{end, 0, 0, 0})
	}
	return cues
}

// wild has anything at any time.
func wild(r *rand.Rand, budget *int) []cue {
	n := between(r, 3, 20)
	cues, total := parts(r, n, 0, 400, plain, dirty, excluded, kept, child, fromFile)
	*budget = max(total*between(r, 30, 90)/100, 500)
	for range 250 {
		c := cue{verb(r.IntN(int(mark))), r.IntN(1 << 12), r.IntN(6) + outside, r.IntN(200)}
		switch c.do {
		case register:
			c.a, c.b = r.IntN(300), r.IntN(traits)
		case cut:
			c.a = total * between(r, 30, 110) / 100
		case foreign:
			c.a = total * r.IntN(40) / 100
		case begin:
			c.a = r.IntN(4)
		case wait:
			c.a = r.IntN(50)
		case lose, exchange:
			if r.IntN(4) > 0 {
				c.do = exit
			}
		}
		cues = append(cues, c)
	}
	return cues
}

// collect makes the logs that most checks judge by.
func (s *suite) collect() error {
	each := 6
	if s.cfg.Quick {
		each = 1
	}
	for _, sc := range s.scripts(each) {
		log, err := s.act(manner{}, sc)
		if err != nil {
			return err
		}
		s.logs = append(s.logs, source{log: log, script: sc})
	}
	golden, err := Golden()
	if err != nil {
		return err
	}
	for _, log := range golden {
		s.logs = append(s.logs, source{log: log})
	}
	return nil
}
