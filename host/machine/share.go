package machine

// Sharing is how memory can be shared with another process, found by trying: a
// kernel, a sandbox or a filter of system calls may lack or forbid each. Nil is that
// it works.
type Sharing struct {
	// Memfd is about memory that is a file descriptor.
	Memfd error
	// Seals is about seals on it that hold: it can then neither shrink nor grow, and
	// nobody who gets the descriptor can write to it (F_SEAL_FUTURE_WRITE, Linux 5.1).
	Seals error
	// Passing is about passing a descriptor over a Unix socket (SCM_RIGHTS).
	Passing error
}
