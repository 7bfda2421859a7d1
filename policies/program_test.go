package policies

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/offhost/offhost/abi"
)

var loop = regexp.MustCompile(`(\d+)x\(([^()]*)\)`)

// parse reads a request: "PIPELINE: CALLS". A name is a call that begins and ends;
// "p{ ... }" is a call of p around others; "3x( ... )" repeats.
func parse(request string) ([]step, error) {
	pipeline, calls, ok := strings.Cut(request, ":")
	if !ok {
		return nil, fmt.Errorf("request %q: want PIPELINE: CALLS", request)
	}
	for loop.MatchString(calls) {
		calls = loop.ReplaceAllStringFunc(calls, func(s string) string {
			m := loop.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[1]) // digits, by the expression
			return strings.Repeat(m[2]+" ", n)
		})
	}
	steps := []step{{abi.Begin, pipeline}}
	var open []string
	for _, word := range strings.Fields(calls) {
		name, opens := strings.CutSuffix(word, "{")
		switch {
		case opens:
			steps = append(steps, step{abi.Call, name})
			open = append(open, name)
		case word == "}" && len(open) > 0:
			steps = append(steps, step{abi.Done, open[len(open)-1]})
			open = open[:len(open)-1]
		case word == "}":
			return nil, fmt.Errorf("request %q: } without {", request)
		default:
			steps = append(steps, step{abi.Call, name}, step{abi.Done, name})
		}
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("request %q: %s{ is not closed", request, open[0])
	}
	return append(steps, step{abi.End, pipeline}), nil
}

// optimum is how many bytes each request must load at least, knowing the future:
// what is used furthest ahead goes first, byte by byte.
func optimum(program []step, bytes map[string]uint64, budget uint64) (moved []uint64) {
	const never = 1 << 30
	next := make([]int, len(program))
	upcoming := map[string]int{}
	for i := len(program) - 1; i >= 0; i-- {
		if s := program[i]; s.kind == abi.Call {
			next[i] = never
			if at, ok := upcoming[s.name]; ok {
				next[i] = at
			}
			upcoming[s.name] = i
		}
	}
	resident, calls := map[string]uint64{}, map[string]int{}
	var used uint64
	moved = []uint64{0}
	for i, s := range program {
		switch s.kind {
		case abi.Begin:
			moved = append(moved, 0)
		case abi.Done:
			calls[s.name]--
		case abi.Call:
			calls[s.name]++
			missing := bytes[s.name] - resident[s.name]
			for used+missing > budget {
				victim := ""
				for name := range bytes {
					if resident[name] > 0 && calls[name] == 0 && (victim == "" || upcoming[name] > upcoming[victim]) {
						victim = name
					}
				}
				if victim == "" {
					return nil // does not fit
				}
				n := min(used+missing-budget, resident[victim])
				resident[victim] -= n
				used -= n
			}
			used += missing
			resident[s.name] += missing
			moved[len(moved)-1] += missing
			upcoming[s.name] = next[i]
		}
	}
	return moved
}
