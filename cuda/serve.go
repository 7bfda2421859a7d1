//go:build cuda && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"os"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/cuda/internal/worker"
)

// Built says whether this program can be a worker.
const Built = true

// socket is the descriptor of a worker's connection.
const socket = 3

// Serve is what a worker process does: it serves its host until that is gone. The error is
// nil when it was served to the end.
func Serve() error {
	conn, err := wire.NewConn(os.NewFile(socket, "the host's socket"))
	if err != nil {
		return errors.Join(errors.New("a worker is started by its host, not by hand"), err)
	}
	err = worker.Serve(conn, worker.Config{})
	if errors.Is(err, worker.ErrTold) {
		return fmt.Errorf("%w: %w", ErrTold, err)
	}
	return err
}
