package toolchain_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
	"github.com/offhost/offhost/cmd/offhost/internal/toolchain"
)

var update = flag.Bool("update", false, "write testdata anew")

func project(t testing.TB, language, dir string) *scaffold.Project {
	t.Helper()
	l, err := scaffold.FindLanguage(language)
	if err != nil {
		t.Fatal(err)
	}
	return &scaffold.Project{Dir: dir, Name: "mine", Language: l}
}

// bare is a system with nothing on it but what is given: programs and files by path, and
// what commands say.
func bare(os, release string, has []string, says map[string]string) *toolchain.System {
	there := func(name string) bool { return slices.Contains(has, name) }
	return &toolchain.System{
		OS: os, Root: true, Release: []byte(release), Exists: there,
		Look: func(name string) (string, error) {
			if !there(name) {
				return "", errors.New("not found")
			}
			return name, nil
		},
		Ask: func(_ context.Context, _ string, args ...string) (string, error) {
			if said, ok := says[strings.Join(args, " ")]; ok {
				return said, nil
			}
			return "", errors.New("exit status 1")
		},
		Getenv: func(string) string { return "" },
	}
}

// systems are those that what to install is known for, and one that it is not.
var systems = []struct{ os, release string }{
	{"linux", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"},
	{"linux", "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n"},
	{"linux", "PRETTY_NAME=\"Ubuntu 24.04.2 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n"},
	{"linux", "PRETTY_NAME=\"Linux Mint 22\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"\n"},
	{"linux", "PRETTY_NAME=\"Fedora Linux 42 (Workstation Edition)\"\nID=fedora\nVERSION_ID=42\n"},
	{"linux", "PRETTY_NAME=\"Rocky Linux 9.5 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.5\"\n"},
	{"linux", "PRETTY_NAME=\"Arch Linux\"\nID=arch\n"},
	{"linux", "PRETTY_NAME=\"Alpine Linux v3.22\"\nID=alpine\nVERSION_ID=3.22.0\n"},
	{"linux", "PRETTY_NAME=\"NixOS 25.05\"\nID=nixos\n"},
	{"linux", ""},
	{"linux", "=\n\"\nID\n\x00=\xff\nID_LIKE=\n"},
	{"darwin", ""},
	{"windows", ""},
}

// Where nothing is installed, this is said.
func TestAdvice(t *testing.T) {
	var b strings.Builder
	for _, s := range systems {
		for _, language := range scaffold.Languages() {
			system := bare(s.os, s.release, nil, nil)
			system.Root = false
			_, err := system.Find(t.Context(), project(t, language, "mine"))
			var missing *toolchain.Missing
			if !errors.As(err, &missing) {
				t.Fatalf("%s: %v, want what is missing", language, err)
			}
			fmt.Fprintf(&b, "%s: %v\n%s\n", language, err, strings.Join(missing.Advice(), "\n"))
		}
		b.WriteString("\n")
	}
	const path = "testdata/advice.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// rustc says what it is, and where it has its libraries.
func rustc(path, root string) map[string]string {
	return map[string]string{
		path + " --print sysroot": root,
		path + " -vV":             "rustc 1.63.0\nhost: x86_64-unknown-linux-gnu\nrelease: 1.63.0\nLLVM version: 14.0.6",
	}
}

func TestFind(t *testing.T) {
	debian := systems[0].release
	for _, c := range []struct {
		name, language string
		os             string
		has            []string
		says           map[string]string
		want           string // the command, or the error
		instead        string // what is wrong with the compiler that comes first
		install        string // what is to be installed, if anything
	}{
		{name: "clang", language: "c", has: []string{"clang", "/usr/lib/llvm-14/bin/wasm-ld"},
			says: map[string]string{"clang -print-targets": "  wasm32 - WebAssembly", "clang --target=wasm32 -print-prog-name=wasm-ld": "/usr/lib/llvm-14/bin/wasm-ld"},
			want: "clang @compile_flags.txt -o build/mine.wasm policy.c"},
		{name: "the newest numbered clang", language: "c", has: []string{"clang-14", "clang-19", "wasm-ld"},
			says: map[string]string{"clang-19 -print-targets": "wasm32", "clang-19 --target=wasm32 -print-prog-name=wasm-ld": "wasm-ld",
				"clang-14 -print-targets": "wasm32", "clang-14 --target=wasm32 -print-prog-name=wasm-ld": "wasm-ld"},
			want: "clang-19 @compile_flags.txt -o build/mine.wasm policy.c"},
		{name: "a clang without the target is passed over", language: "c", has: []string{"clang", "clang-16", "wasm-ld"},
			says: map[string]string{"clang -print-targets": "aarch64", "clang-16 -print-targets": "wasm32", "clang-16 --target=wasm32 -print-prog-name=wasm-ld": "wasm-ld"},
			want: "clang-16 @compile_flags.txt -o build/mine.wasm policy.c"},
		{name: "Homebrew's, not Apple's", language: "c", os: "darwin", has: []string{"clang", "/opt/homebrew/opt/llvm/bin/clang", "wasm-ld"},
			says: map[string]string{"clang -print-targets": "arm64", "/opt/homebrew/opt/llvm/bin/clang -print-targets": "wasm32",
				"/opt/homebrew/opt/llvm/bin/clang --target=wasm32 -print-prog-name=wasm-ld": "wasm-ld"},
			want: "/opt/homebrew/opt/llvm/bin/clang @compile_flags.txt -o build/mine.wasm policy.c"},
		{name: "Apple's alone", language: "c", os: "darwin", has: []string{"clang"}, says: map[string]string{"clang -print-targets": "arm64"},
			want: "clang does not compile for WebAssembly", install: "brew install llvm lld"},
		{name: "a clang that does not find its linker", language: "c", has: []string{"clang-14", "wasm-ld-14"},
			says: map[string]string{"clang-14 -print-targets": "wasm32", "clang-14 --target=wasm32 -print-prog-name=wasm-ld": "wasm-ld"},
			want: "clang-14 @compile_flags.txt -fuse-ld=wasm-ld-14 -o build/mine.wasm policy.c"},
		{name: "a clang without its linker", language: "c", has: []string{"clang-19"},
			says: map[string]string{"clang-19 -print-targets": "wasm32", "clang-19 --target=wasm32 -print-prog-name=wasm-ld": "wasm-ld"},
			want: "clang-19 has no linker for WebAssembly, wasm-ld, beside it", install: "apt-get install lld-19"},

		{name: "rustup with the target", language: "rust", has: []string{"cargo", "rustc", "rustup", "/r/lib/rustlib/wasm32-unknown-unknown", "/r/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"},
			says: rustc("rustc", "/r"), want: "cargo build --quiet --release --target wasm32-unknown-unknown --target-dir target"},
		{name: "rustup without the target", language: "rust", has: []string{"cargo", "rustc", "rustup"}, says: rustc("rustc", "/r"),
			want: "rustc 1.63.0 has no libraries for WebAssembly, the target wasm32-unknown-unknown", install: "rustup target add wasm32-unknown-unknown"},
		{name: "rustup without the target, and Debian's with it", language: "rust",
			has:     []string{"cargo", "rustc", "rustup", "/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/wasm32-unknown-unknown", "wasm-ld-14"},
			says:    both(rustc("rustc", "/r"), rustc("/usr/bin/rustc", "/usr")),
			instead: "rustc 1.63.0 has no libraries for WebAssembly, the target wasm32-unknown-unknown",
			want:    "RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-14 /usr/bin/cargo build --quiet --release --target wasm32-unknown-unknown --target-dir target"},
		{name: "Debian's without a linker", language: "rust", has: []string{"cargo", "rustc", "/usr/lib/rustlib/wasm32-unknown-unknown", "wasm-ld-19"},
			says: rustc("rustc", "/usr"), want: "rustc 1.63.0 has no linker for WebAssembly: want wasm-ld of LLVM 14", install: "apt-get install lld-14"},
		{name: "Debian's without the target", language: "rust", has: []string{"cargo", "rustc"}, says: rustc("rustc", "/usr"),
			want:    "rustc 1.63.0 has no libraries for WebAssembly, the target wasm32-unknown-unknown",
			install: "apt-get install rustc cargo libstd-rust-dev-wasm32 lld-14"},

		{name: "zig", language: "zig", has: []string{"zig"}, says: map[string]string{"zig version": "0.15.2"}, want: "zig build"},
		{name: "a later zig", language: "zig", has: []string{"zig"}, says: map[string]string{"zig version": "1.0.0"}, want: "zig build"},
		{name: "Python's zig", language: "zig", has: []string{"python3"}, says: map[string]string{"python3 -m ziglang version": "0.15.1"}, want: "python3 -m ziglang build"},
		{name: "Python's, since the other is too old", language: "zig", has: []string{"zig", "python3"},
			says: map[string]string{"zig version": "0.13.0", "python3 -m ziglang version": "0.16.0-dev"}, want: "python3 -m ziglang build"},
		{name: "an old zig", language: "zig", has: []string{"zig", "python3"}, says: map[string]string{"zig version": "0.13.0"}, want: "zig is 0.13.0: want 0.15",
			install: "apt-get install python3-venv"},

		{name: "go", language: "go", has: []string{"go"}, says: map[string]string{"go version": "go version go1.26.8 linux/amd64"},
			want: "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-w -buildid=' -o build/mine.wasm ."},
		{name: "a go of its own", language: "go", has: []string{"go"}, says: map[string]string{"go version": "go version devel go1.28-abcdef linux/amd64"},
			want: "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-w -buildid=' -o build/mine.wasm ."},
		{name: "a workspace around it", language: "go", has: []string{"go"}, says: map[string]string{"go version": "go version go1.24 linux/amd64", "go env GOWORK": "/home/me/go.work"},
			want: "GOOS=wasip1 GOARCH=wasm GOWORK=off go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-w -buildid=' -o build/mine.wasm ."},
		{name: "an old go", language: "go", has: []string{"go"}, says: map[string]string{"go version": "go version go1.19.8 linux/amd64"}, want: "go is go1.19.8: want go1.24 or later",
			install: "# go: https://go.dev/dl"},

		{name: "the project's asc", language: "assemblyscript", has: []string{"npx", "asc", "some where/node_modules/assemblyscript"},
			want: "npx --no-install asc policy.ts --target release --outFile build/mine.wasm"},
		{name: "asc", language: "assemblyscript", has: []string{"npm", "npx", "asc"}, want: "asc policy.ts --target release --outFile build/mine.wasm"},
		{name: "npm alone", language: "assemblyscript", has: []string{"npm", "npx"}, want: "no compiler for AssemblyScript was found: npm has not installed it yet",
			install: "cd 'some where' && npm install"},
	} {
		t.Run(c.name, func(t *testing.T) {
			system := bare("linux", debian, c.has, c.says)
			if c.os != "" {
				system.OS, system.Release = c.os, nil
			}
			command, err := system.Find(t.Context(), project(t, c.language, "some where"))
			if err == nil && (command.String() != c.want || c.install != "" || command.Output == "" || command.Instead != c.instead) {
				t.Errorf("%v (%s), want %s (%s)", command, command.Instead, c.want, c.instead)
			}
			if err == nil {
				return
			}
			var missing *toolchain.Missing
			if !errors.As(err, &missing) || err.Error() != c.want || len(missing.Install) == 0 || missing.Install[0] != c.install {
				t.Errorf("%v, %+v; want %q, and %q", err, missing, c.want, c.install)
			}
		})
	}
}

// both joins what two commands say.
func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// A search that is interrupted says so, not that something is missing.
func TestFindIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	system := bare("linux", "", []string{"clang"}, nil)
	system.Ask = func(context.Context, string, ...string) (string, error) {
		cancel(enough)
		return "", ctx.Err()
	}
	if _, err := system.Find(ctx, project(t, "c", ".")); !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
}
