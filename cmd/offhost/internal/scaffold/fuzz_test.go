package scaffold

import "testing"

// Whatever a manifest says, what is taken from it names a file in the project's folder.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{"name: mine\nlanguage: c\n", "name: ../x\nlanguage: go", "{name: a, language: zig}", "name: &a [*a]", "--- \n...\n", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data)
		if err != nil {
			return
		}
		if CheckName(p.Name) != nil || p.Language == nil {
			t.Errorf("%q is taken for %+v", data, p)
		}
	})
}
