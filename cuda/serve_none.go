//go:build !(cuda && linux && (amd64 || arm64))

package cuda

// Built says whether this program can be a worker.
const Built = false

// Serve is what a worker process does.
func Serve() error { return ErrNotBuilt }
