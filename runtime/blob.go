package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/offhost/offhost/abi"
)

// Save asks the policy for what it has learned: a copy of at most abi.MaxPayload
// bytes, nil if it saves nothing or cannot. What it does wrong is a *Fault, as for
// Decide. It spends at most what an event with the largest payload adds, and nothing that
// events have saved.
func (p *Policy) Save() ([]byte, error) {
	n, ok, err := p.exchange(abi.ExportSave, 0)
	if !ok || err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, p.blobFault(abi.ExportSave, "", fmt.Errorf("%w: it returned %d", ErrGaveUp, n))
	}
	if n > abi.MaxPayload {
		return nil, p.blobFault(abi.ExportSave, "", fmt.Errorf("%w: a blob of %d bytes, at most %d are saved", ErrAnswer, n, abi.MaxPayload))
	}
	if n == 0 {
		return nil, nil
	}
	view, err := p.view(p.in)
	if err != nil {
		return nil, p.loseBlob(abi.ExportSave, "", err)
	}
	return bytes.Clone(view[abi.EventArea:][:n]), nil
}

// Restore offers the policy what Save returned, of this instance or another one.
// False says that the policy does not take it, or cannot.
func (p *Policy) Restore(blob []byte) (accepted bool, err error) {
	if room := int(p.windowSize) - abi.EventArea - abi.DecisionArea; len(blob) > room {
		return false, fmt.Errorf("a blob of %d bytes does not fit the window, which takes %d", len(blob), room)
	}
	if p.in != nil {
		view, err := p.view(p.in)
		if err != nil {
			return false, p.loseBlob(abi.ExportRestore, "", err)
		}
		copy(view[abi.EventArea:], blob)
	}
	n, ok, err := p.exchange(abi.ExportRestore, uint64(len(blob)))
	return ok && err == nil && n == 0, err
}

// exchange calls one of the optional functions. ok is false if the module does not
// export it.
func (p *Policy) exchange(export string, arg uint64) (n int, ok bool, err error) {
	in := p.in
	if in == nil {
		return 0, false, p.blobFault(export, "", ErrLost)
	}
	f := in.mod.ExportedFunction(export)
	if f == nil {
		return 0, false, nil
	}
	p.log.begin(p.seq, true)
	given := min(p.refillFor(in, abi.MaxPayload), p.fuel) // a blob of any size
	if in.fuel != nil {
		in.fuel.Set(given)
	}
	p.call[0] = arg
	if err := f.CallWithStack(context.Background(), p.call[:]); err != nil {
		fn, reason := p.explain(in, given, err)
		p.used += given
		return 0, false, p.loseBlob(export, fn, reason)
	}
	if in.fuel != nil {
		p.used += given - in.fuel.Get()
	}
	return int(int32(uint32(p.call[0]))), true, nil
}

func (p *Policy) blobFault(export, fn string, err error) error {
	return &Fault{Policy: p.info.Name, SHA256: p.info.SHA256, Seq: p.seq, Export: export, Func: fn, Said: p.log.fail(), Hint: p.hint(err), Err: err}
}

func (p *Policy) loseBlob(export, fn string, err error) error {
	fault := p.blobFault(export, fn, err)
	if closeErr := p.drop(); closeErr != nil {
		fault = errors.Join(fault, closeErr)
	}
	return fault
}
