package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offhost/offhost/host/units"
)

func TestALinkIsWrittenAndTheRestStays(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "examples", FileName))
	if err != nil {
		t.Fatal(err)
	}
	const link = "5.31GB/s,980MB/s"
	for _, c := range []struct{ name, from, to string }{
		{"no file", "", "link: " + link + "\n"},
		{"only a comment", "# mine\n", "# mine\nlink: " + link + "\n"},
		{"other keys", "# mine\n\nbudget:   8GiB # little\npolicy: {config: {A: 1}}", "# mine\n\nbudget:   8GiB # little\npolicy: {config: {A: 1}}\nlink: " + link + "\n"},
		{"no configuration", "a\n# x\n", ""},
		{"a value", "link:  25GB/s   # fast\n\n\nbudget: 8GiB\n", "link:  " + link + "   # fast\n\n\nbudget: 8GiB\n"},
		{"a quoted value", "budget: 8GiB\r\nlink: \"25GB/s,\\\n  20GB/s\"\r\n", "budget: 8GiB\nlink: " + link + "\n"},
		{"in quotes", "link: '25GB/s' # x\n", "link: " + link + " # x\n"},
		{"nothing", "link: # x\nbudget: 8GiB\n", "link: " + link + " # x\nbudget: 8GiB\n"},
		{"all on one line", "{budget: 8GiB}\n", "{budget: 8GiB, link: '" + link + "'}\n"},
		{"all on one line, with it", "{link: 25GB/s, budget: 8GiB}\n", "{link: '" + link + "', budget: 8GiB}\n"},
		{"all on one line, between comments", "# head\n\n{budget: 8GiB}\n\n# foot\n", "# head\n\n{budget: 8GiB, link: '" + link + "'}\n\n# foot\n"},
		{"a marked beginning and end", "# head\n---\nbudget: 8GiB # x\n...\n", "# head\nbudget: 8GiB # x\nlink: " + link + "\n"},
		{"the annotated example", string(example), strings.Replace(string(example), "link: 25GB/s,25GB/s", "link: "+link, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			if c.from != "" {
				if err := os.WriteFile(path, []byte(c.from), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := OpenFile(path)
			if err == nil {
				err = f.WriteLink(5_310_000_000, 980_000_000)
			}
			got, _ := os.ReadFile(path)
			if c.to == "" { // it was no configuration
				if err == nil || string(got) != c.from {
					t.Fatalf("%v, and the file is %q; want an error and %q", err, got, c.from)
				}
				return
			}
			if err != nil || string(got) != c.to {
				t.Fatalf("%v; the file is\n%s\nwant\n%s", err, got, c.to)
			}
			s, _, err := load(t, nil, nil, string(got))
			if err != nil || s.Link.H2D != 5_310_000_000 || s.Link.D2H != 980_000_000 {
				t.Errorf("%v, link %+v", err, s.Link)
			}
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
				t.Errorf("%d files are left, want 1", len(entries))
			}
		})
	}
}

func TestTheChunkOfAFile(t *testing.T) {
	for text, want := range map[string]units.Bytes{"": 32 * units.MiB, "chunk: 8MiB\n": 8 * units.MiB, "chunk: 4KiB\n": 4 * units.KiB, "chunk: 0\n": 0, "chunk: x\n": 0} {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Chunk(); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}
