package runtime

import (
	"log/slog"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// Limits bound what a policy may use. A zero field is the default.
type Limits struct {
	// Fuel is what one event may spend; a simple instruction is 1. The default,
	// DefaultFuel, is hundreds of times what a compact policy needs for its longest
	// answer and several times what a policy in Go does, and is spent in about a
	// millisecond.
	Fuel uint64
	// StartFuel is what starting may spend in all: the start function, _initialize
	// and the lending of the window. The default is DefaultStartFuel: Go's runtime
	// needs a few million to start.
	StartFuel uint64
	// StackBytes bounds the calls inside each other, by the size of their frames. The
	// default is meter.DefaultStackBytes, which is at most 1,000 calls.
	StackBytes uint32
	// MemoryPages bounds the linear memory, in pages of 64 KiB. The default is
	// DefaultMemoryPages, 16 MiB: Go begins with 2, C with less than 1.
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
	DefaultFuel        = 1_000_000
	DefaultStartFuel   = 50_000_000
	DefaultMemoryPages = 256
	DefaultModuleBytes = 4 << 20
	DefaultLogBytes    = 64 << 10
)

func (l Limits) withDefaults() Limits {
	set(&l.Fuel, DefaultFuel)
	set(&l.StartFuel, DefaultStartFuel)
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
