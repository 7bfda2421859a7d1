package runtime

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/tetratelabs/wazero/api"

	"github.com/offhost/offhost/runtime/meter"
)

// The functions of WASI preview 1 that compilers' runtimes cannot do without, and
// nothing else of it. They are deterministic: there is no file, argument or
// variable, the time is the current event's, random bytes follow from the module's
// digest, waiting is over at once and exiting is a trap.

const wasiModule = "wasi_snapshot_preview1"

// Errors of WASI preview 1.
const (
	errnoSuccess = 0
	errnoBadf    = 8
	errnoFault   = 21
	errnoInval   = 28
	errnoNotsup  = 58
)

// What the functions cost beside the trip to them, in fuel, so that a unit is worth no more
// time than elsewhere: a byte of a log that has a line for every second one takes 2 ns, a
// vector 9, a random byte half of one.
const (
	costVector       = 32
	costWritten      = 8 // a byte
	costSubscription = 64
	// The trip's price covers the time of that many random bytes. One of them costs a
	// unit, one beyond costs two.
	coveredRandom = 512
)

// Bounds on vectors that a guest passes.
const (
	maxIovecs        = 1024
	maxSubscriptions = 64
)

// A wasiFunc gets its arguments on the stack and leaves its result there.
type wasiFunc struct {
	typ  meter.FuncType
	call func(p *Policy, mem api.Memory, stack []uint64)
}

func i32s(n int, results ...byte) meter.FuncType {
	return meter.FuncType{Params: slices.Repeat(i32, n), Results: results}
}

var wasiFuncs = map[string]wasiFunc{
	"args_get":          {i32s(2, meter.I32), succeed},
	"args_sizes_get":    {i32s(2, meter.I32), emptySizes},
	"environ_get":       {i32s(2, meter.I32), succeed},
	"environ_sizes_get": {i32s(2, meter.I32), emptySizes},
	"clock_time_get":    {meter.FuncType{Params: []byte{meter.I32, meter.I64, meter.I32}, Results: i32}, clockTimeGet},
	"fd_write":          {i32s(4, meter.I32), fdWrite},
	"poll_oneoff":       {i32s(4, meter.I32), pollOneoff},
	"proc_exit":         {i32s(1), procExit},
	"random_get":        {i32s(2, meter.I32), randomGet},
	"sched_yield":       {i32s(0, meter.I32), succeed},
}

func wasiNames() []string { return slices.Sorted(maps.Keys(wasiFuncs)) }

// linkWASI gives the module the functions it imports.
func (p *Policy) linkWASI(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	b := p.rt.NewHostModuleBuilder(wasiModule)
	for _, name := range names {
		f := wasiFuncs[name]
		b.NewFunctionBuilder().WithGoModuleFunction(
			api.GoModuleFunc(func(_ context.Context, mod api.Module, stack []uint64) { f.call(p, mod.Memory(), stack) }),
			valueTypes(f.typ.Params), valueTypes(f.typ.Results)).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

func valueTypes(types []byte) []api.ValueType { return types }

// charge takes fuel for work that a host function is about to do.
func (p *Policy) charge(n uint64) {
	if p.in.fuel == nil {
		return
	}
	left := int64(p.in.fuel.Get()) - int64(n)
	p.in.fuel.Set(uint64(left))
	if left < 0 {
		panic(errSpent)
	}
}

func succeed(_ *Policy, _ api.Memory, stack []uint64) { stack[0] = errnoSuccess }

func procExit(_ *Policy, _ api.Memory, stack []uint64) { panic(guestExit(stack[0])) }

// emptySizes answers the count and the size of a list that is empty.
func emptySizes(_ *Policy, mem api.Memory, stack []uint64) {
	ok := mem.WriteUint32Le(uint32(stack[0]), 0) && mem.WriteUint32Le(uint32(stack[1]), 0)
	stack[0] = errno(ok)
}

func errno(ok bool) uint64 {
	if ok {
		return errnoSuccess
	}
	return errnoFault
}

func clockTimeGet(p *Policy, mem api.Memory, stack []uint64) {
	if clock := uint32(stack[0]); clock > 3 { // realtime, monotonic, process, thread
		stack[0] = errnoInval
		return
	}
	// Go's runtime takes a clock that shows zero for a broken one.
	stack[0] = errno(mem.WriteUint64Le(uint32(stack[2]), max(p.now, 1)))
}

// randomGet costs a unit for each byte, and two beyond coveredRandom.
func randomGet(p *Policy, mem api.Memory, stack []uint64) {
	n := uint32(stack[1])
	p.charge(uint64(n) + max(uint64(n), coveredRandom) - coveredRandom)
	b, ok := mem.Read(uint32(stack[0]), n)
	if ok {
		p.in.random.Read(b) // never fails
	}
	stack[0] = errno(ok)
}

// fdWrite costs costVector for each vector and costWritten for each byte. All bytes count as
// written, however many the log takes.
func fdWrite(p *Policy, mem api.Memory, stack []uint64) {
	fd, vecs, n, out := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if fd != 1 && fd != 2 {
		stack[0] = errnoBadf
		return
	}
	if n > maxIovecs {
		stack[0] = errnoInval
		return
	}
	p.charge(costVector * uint64(n))
	list, ok := mem.Read(vecs, 8*n)
	if !ok {
		stack[0] = errnoFault
		return
	}
	var written uint32
	for ; len(list) > 0; list = list[8:] {
		size := binary.LittleEndian.Uint32(list[4:])
		p.charge(costWritten * uint64(size))
		b, ok := mem.Read(binary.LittleEndian.Uint32(list), size)
		if !ok {
			stack[0] = errnoFault
			return
		}
		p.log.write(b)
		written += size
	}
	stack[0] = errno(mem.WriteUint32Le(out, written))
}

// pollOneoff reports every clock as having rung and everything else as not
// supported. It costs costSubscription for each.
func pollOneoff(p *Policy, mem api.Memory, stack []uint64) {
	const inSize, outSize = 48, 32
	in, out, n, count := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if n == 0 || n > maxSubscriptions {
		stack[0] = errnoInval
		return
	}
	p.charge(costSubscription * uint64(n))
	subs, ok := mem.Read(in, n*inSize)
	events, ok2 := mem.Read(out, n*outSize)
	if !ok || !ok2 {
		stack[0] = errnoFault
		return
	}
	for i := range int(n) {
		var event [outSize]byte
		copy(event[:8], subs[i*inSize:]) // the caller's own number
		kind := subs[i*inSize+8]
		if kind != 0 { // not a clock
			event[8] = errnoNotsup
		}
		event[10] = kind
		copy(events[i*outSize:], event[:])
	}
	stack[0] = errno(mem.WriteUint32Le(count, n))
}
