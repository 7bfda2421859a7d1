package runtime

import (
	"log/slog"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// Limits bound what a policy may use. A zero field is the default.
//
// Fuel is counted in units. A simple instruction costs one, what takes longer costs
// more (package meter), so that a unit takes compiled code 0.3 ns at most, whatever a
// module is made to do (BenchmarkUnitOfFuel and BenchmarkDearestInstruction of package
// meter, on an EPYC server core): that is what bounds a module that means harm. Code as
// compilers write it does several things at a time and finds its memory in the nearest
// cache; it takes 0.02 to 0.07 ns (the built-in policies, a policy in Go, arithmetic).
// So half a millisecond of planning is 8 million units of arithmetic, 11 million of Go
// and 30 million of a search through lists; who allows that much allows a module that
// means harm as many times 0.3 ns.
//
// A module that is too complex to be compiled gets a 64th of all fuel, as the
// interpreter takes fifty times as long.
type Limits struct {
	// Fuel is the most that one event may spend: what was saved, too. The default,
	// DefaultFuel, is more than the built-in policies need for their longest answer
	// over 4,096 components (1,450,000), and is spent in 0.8 ms at most.
	Fuel uint64
	// Refill is what each event adds to what the events before it left, up to Fuel,
	// beside RefillPerComponent for each component that the policy was told of and
	// RefillPerByte for each byte of the event's payload: what has more to look at may
	// look longer. It bounds what a policy may spend for long. The default,
	// DefaultRefill, is 9 µs an event at most, and what the built-in policies need for
	// two answers over 64 components in the five events of a call. CONFIG, which begins an
	// instance's life, brings all of Fuel: much is touched for the first time then. Little is
	// earned by trapping, since a policy that does it three times in a minute is put aside.
	Refill uint64
	// StartFuel is what starting may spend in all: the start function, _initialize
	// and the lending of the window. The default is DefaultStartFuel: Go's runtime
	// needs a few million to start.
	StartFuel uint64
	// StackBytes bounds the calls inside each other, by the size of their frames. The
	// default is meter.DefaultStackBytes, which is at most 1,000 calls.
	StackBytes uint32
	// MemoryPages bounds the linear memory, in pages of 64 KiB, MaxMemoryPages at most. The
	// default is DefaultMemoryPages, 16 MiB: Go begins with 2, C with less than 1.
	MemoryPages uint32
	// ModuleBytes bounds the module's size. The default is DefaultModuleBytes, twice
	// what a policy in Go takes.
	ModuleBytes int
	// LogBytes bounds what the policy may log while it runs. The default is
	// DefaultLogBytes.
	LogBytes int
}

// Defaults of Limits.
const (
	DefaultFuel        = 3_000_000
	DefaultRefill      = 30_000
	DefaultStartFuel   = 50_000_000
	DefaultMemoryPages = 256
	DefaultModuleBytes = 4 << 20
	DefaultLogBytes    = 64 << 10
)

// MaxMemoryPages is the most that Limits.MemoryPages may be: a page less than 2 GiB.
const MaxMemoryPages = meter.MaxMemoryPages

// What an event adds beside Limits.Refill. Sticky-loop's dearest answer over 4,096
// components takes 1,450,000, some 350 a component, and comes with five events of a
// call; reading configuration takes a policy in C some 40 a byte.
const (
	RefillPerComponent = 100
	RefillPerByte      = 64
)

// maxFuel keeps sums of fuel within the counter, which is signed.
const maxFuel = 1 << 62

func (l Limits) withDefaults() Limits {
	set(&l.Fuel, DefaultFuel)
	l.Fuel = min(l.Fuel, maxFuel)
	set(&l.Refill, DefaultRefill)
	l.Refill = min(l.Refill, l.Fuel)
	set(&l.StartFuel, DefaultStartFuel)
	l.StartFuel = min(l.StartFuel, maxFuel)
	set(&l.StackBytes, meter.DefaultStackBytes)
	set(&l.MemoryPages, DefaultMemoryPages)
	set(&l.ModuleBytes, DefaultModuleBytes)
	set(&l.LogBytes, DefaultLogBytes)
	return l
}

func set[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// A Config says how a module is loaded. The zero value is usable.
type Config struct {
	// Name is the policy's name in errors and logs. Empty: the name that the module's
	// metadata gives, else the beginning of its digest.
	Name string
	// SHA256 pins the module: in hexadecimal, its digest has to be this. Empty: any.
	SHA256 string
	// MaxPayload is the largest payload in bytes that the host is going to send; the
	// window is made for it, and for no less than abi.MinPayload.
	MaxPayload int
	Limits     Limits
	// Seed is mixed into the random bytes that a module may ask for; with the same
	// seed they are the same.
	Seed uint64
	// CacheDir is a directory for compiled code, which makes the second load of a large
	// module some ten times faster. It is made if it is missing; it has to be the
	// user's own, of mode 0700, and nobody else may be able to replace it, or Load
	// fails with ErrCache. Entries that are damaged, or were made by another version of
	// anything that compiling depends on, are not used. Empty: nothing is kept.
	CacheDir string
	// Interpreter runs the module on wazero's interpreter: the same answers, more
	// slowly, on any platform.
	Interpreter bool
	// Logger takes the digest of what is loaded, warnings, and what the policy
	// itself logs. Nil discards all.
	Logger *slog.Logger
	// OnStep, if set, is called after each step of Load with what it found, and last
	// for the step that failed.
	OnStep func(Step)

	// unmetered leaves out the counters, to measure what they cost.
	unmetered bool
	// engineVersion is taken for wazero's, which test programs are not told.
	engineVersion string
}

// A Step is one step of loading a module.
type Step struct {
	Name  string // digest, module, exports, imports, meter, compile or start
	Found string
	Err   error // why the module is refused, nil if the step passed
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	c.MaxPayload = max(c.MaxPayload, abi.MinPayload)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnStep == nil {
		c.OnStep = func(Step) {}
	}
	return c
}
