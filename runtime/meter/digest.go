package meter

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sync"
)

//go:embed binary.go body.go control.go digest.go meter.go module.go names.go nan.go ops.go outline.go pieces.go work.go
var sources embed.FS

// Digest names what the meter does, in hexadecimal: it is another one as soon as any of the
// meter's sources is, whatever has changed in it. Package runtime keeps metered modules
// under it, and so never finds one that this meter would have written otherwise, or refused.
var Digest = sync.OnceValue(func() string {
	h := sha256.New()
	err := fs.WalkDir(sources, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := sources.ReadFile(path)
		fmt.Fprintf(h, "%q %d\n%s", path, len(text), text) // a hash never fails
		return err
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	return hex.EncodeToString(h.Sum(nil))
})
