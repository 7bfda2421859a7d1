package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/offhost/offhost/host/report"
)

var bothPolicies = []string{"sticky-loop", "lru"}

// What is excluded from offloading is loaded once, before the first call, and stays.
func TestExcludedComponentsMoveOnce(t *testing.T) {
	for _, c := range []struct {
		trace, budget, exclude string
		components             []string
	}{
		{"flux-bf16", "36GB", "text_encoder_2", []string{"text_encoder_2"}},
		{"flux-bf16", "36GB", "text_encoder*", []string{"text_encoder", "text_encoder_2"}},
		{"three-pipelines", "28GB", "sdxl.*", []string{"sdxl.text_encoder", "sdxl.text_encoder_2", "sdxl.unet", "sdxl.vae"}},
	} {
		var free int // policies under which one of them is moved again when it may be
		for _, policy := range bothPolicies {
			args := []string{c.trace, "--budget", c.budget, "--policy", policy}
			if slices.ContainsFunc(named(shell{}.report(t, args...), c.components), func(x report.Component) bool { return x.Loads > 1 }) {
				free++
			}
			r := shell{}.report(t, append(args, "--exclude", c.exclude)...)
			for _, x := range named(r, c.components) {
				if x.Loads != 1 || x.H2DBytes != x.Bytes || x.D2HBytes != 0 {
					t.Errorf("%s under %s without %s: %s was loaded %d times, %d bytes in all, want once its %d",
						c.trace, policy, c.exclude, x.Name, x.Loads, x.H2DBytes, x.Bytes)
				}
			}
			if r.Evictions == 0 || r.Faults != 0 {
				t.Errorf("%s under %s without %s: %d evictions of others, want some; %d faults, want none", c.trace, policy, c.exclude, r.Evictions, r.Faults)
			}
		}
		if free == 0 {
			t.Errorf("%s at %s: %s does not move again even when it may: the case shows nothing", c.trace, c.budget, c.exclude)
		}
	}
}

func named(r report.Report, names []string) []report.Component {
	return slices.DeleteFunc(slices.Clone(r.PerComponent), func(c report.Component) bool { return !slices.Contains(names, c.Name) })
}

// A component that is kept is not evicted for the calls that follow its own in the
// same request. Without the constraint it is.
func TestKeptComponentsStayUntilTheRequestEnds(t *testing.T) {
	for _, c := range []struct {
		trace, budget, keep string
		followers           []string // what the request calls after it
	}{
		{"flux-bf16", "34.8GB", "text_encoder_2", []string{"transformer", "vae"}},
		{"three-pipelines", "26.6GB", "wan.text_encoder", []string{"wan.transformer", "wan.transformer_2", "wan.vae"}},
	} {
		var free int // evictions that the constraint is there to prevent
		for _, policy := range bothPolicies {
			args := []string{c.trace, "--budget", c.budget, "--policy", policy, "--verbose"}
			free += evictionsFor(shell{}.succeeds(t, append([]string{"run"}, args...)...), c.keep, c.followers)
			kept := shell{}.succeeds(t, append([]string{"run", "--keep", c.keep}, args...)...)
			if n := evictionsFor(kept, c.keep, c.followers); n != 0 {
				t.Errorf("%s under %s: %s is kept and was evicted %d times for calls that follow its own:\n%s", c.trace, policy, c.keep, n, kept)
			}
		}
		if free == 0 {
			t.Errorf("%s at %s: %s stays even when it need not: the case shows nothing", c.trace, c.budget, c.keep)
		}
	}
}

// evictionsFor counts the lines of movements that evict component for the sake of
// one of others.
func evictionsFor(text, component string, others []string) int {
	line := regexp.MustCompile(`(?m)^ *[0-9.]+ s +evict +` + regexp.QuoteMeta(component) + ` .*, for (.*)$`)
	n := 0
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		if slices.Contains(others, strings.TrimSpace(m[1])) {
			n++
		}
	}
	return n
}

func TestConstraintsThatCannotBeKeptAreRefusedWithTheNumbers(t *testing.T) {
	for _, policy := range bothPolicies {
		for _, c := range []struct {
			name, says string
			args       []string
		}{
			{"excluded components leave no room for a call", `"transformer" needs 23\.\d+ GB and 962 MB of workspace beside 9\.\d+ GB excluded from offloading; the budget is [0-9.]+ Gi?B, \d+ MB short: raise --budget or shorten --exclude`,
				[]string{"flux-bf16", "--exclude", "*"}},
			{"excluded components alone exceed the budget", `excluded from offloading take 34\.\d+ GB, the budget is [0-9.]+ Gi?B, 8\.\d+ GB short: raise --budget or shorten --exclude`,
				[]string{"three-pipelines", "--exclude", "wan.*"}},
			{"a kept component leaves no room for a call", `"vae" needs .* beside 23\.\d+ GB kept during the request; the budget is [0-9.]+ Gi?B, 3\.\d+ GB short: raise --budget or shorten .*--keep`,
				[]string{"flux-bf16", "--budget", "25GB", "--keep", "transformer"}},
			{"kept components leave no room for a call", `"wan.transformer" needs .* beside 5\.\d+ GB kept during the request; the budget is [0-9.]+ Gi?B, \d+ MB short`,
				[]string{"three-pipelines", "--keep", "wan.*"}},
			{"a pattern that names nothing", `"transfromer"`, []string{"flux-bf16", "--keep", "transfromer"}},
		} {
			t.Run(policy+"/"+c.name, func(t *testing.T) {
				shell{}.fails(t, 2, c.says, append([]string{"run", "--policy", policy}, c.args...)...)
			})
		}
	}
}
