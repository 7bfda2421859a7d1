// Package installed keeps the policy modules that a user has installed: a directory with a
// folder for each, in which are the module and a record of its digest and of where it came
// from. It checks names and digests; whether a module is a policy, and which names are
// taken by built-in ones, its callers know. The command line finds policies by name with it.
package installed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
	"github.com/offhost/offhost/runtime"
)

// What errors wrap that a caller may want to tell apart.
var (
	ErrNotInstalled = errors.New("not installed")
	// ErrExists is a name under which another module is installed.
	ErrExists = errors.New("installed already")
	// ErrChanged is an installed module that is not what was installed.
	ErrChanged = errors.New("changed since it was installed")
)

// A Dir is a directory of installed policies. The zero value is none.
type Dir struct{ path string }

// Open returns the directory at path, or the user's own if path is empty. It need not be
// there: it is made when something is installed.
func Open(path string) (Dir, error) {
	if path != "" {
		return Dir{path}, nil
	}
	data, err := dataHome()
	if err != nil {
		return Dir{}, fmt.Errorf("no directory for installed policies: %w: set policy.dir, or --policy-dir", err)
	}
	return Dir{filepath.Join(data, "offhost", "policies")}, nil
}

// Path is where the directory is.
func (d Dir) Path() string { return d.path }

// A Policy is an installed module, as its record has it.
type Policy struct {
	Name   string `json:"-"`
	SHA256 string `json:"sha256"` // of the module, in hexadecimal
	// Source is where it was installed from: the path of a file, a reference, or the
	// name of another policy.
	Source string `json:"source"`
}

// maxRecord bounds what is read of a record: twice what a path and a digest take.
const maxRecord = 16 << 10

const recordFile = "policy.json"

// Names are lower case, since file systems may fold it, and without dots, so that none
// is taken for a path or has an extension.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// devices are names that Windows keeps for itself, in every directory.
var devices = regexp.MustCompile(`^(con|prn|aux|nul|com[0-9]|lpt[0-9])$`)

// CheckName says whether a policy may have a name.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || devices.MatchString(name) {
		return fmt.Errorf("%.100q is no name for a policy: want up to 64 of a-z, 0-9, - and _, and a letter or a digit first", name)
	}
	return nil
}

// Install puts a module in the directory under a name, and records its source. A module
// that has the name gives way if replace is set, or if it is the same; else the error
// wraps ErrExists.
func (d Dir) Install(name string, wasm []byte, source string, replace bool) (Policy, error) {
	sum := sha256.Sum256(wasm)
	p := Policy{Name: name, SHA256: hex.EncodeToString(sum[:]), Source: source}
	if err := CheckName(name); err != nil {
		return p, err
	}
	old, err := d.record(name)
	switch {
	case err == nil && old.SHA256 != p.SHA256 && !replace:
		return p, fmt.Errorf("%s: %w, with the SHA-256 %s from %s: give this one another name, or replace that one", name, ErrExists, old.SHA256, old.Source)
	case err != nil && !errors.Is(err, ErrNotInstalled) && !replace:
		return p, err
	}
	record, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return p, err
	}
	if len(record) >= maxRecord {
		return p, fmt.Errorf("%s: its source has %d bytes, want a shorter path", name, len(source))
	}
	if err := os.MkdirAll(filepath.Join(d.path, name), 0o700); err != nil {
		return p, err
	}
	// The record names the module: as long as it is the old one, the old one is installed.
	if err := wholefile.Write(d.module(p), wasm); err != nil {
		return p, err
	}
	if err := wholefile.Write(d.file(name, recordFile), append(record, '\n')); err != nil {
		return p, err
	}
	return p, d.sweep(p)
}

// staleModule is the age at which a module that the record does not name is taken for one
// that nobody is about to name or to read.
const staleModule = time.Hour

// sweep removes the modules that had a policy's name before.
func (d Dir) sweep(p Policy) error {
	entries, err := os.ReadDir(filepath.Join(d.path, p.Name))
	for _, e := range entries {
		info, infoErr := e.Info()
		if infoErr == nil && strings.HasSuffix(e.Name(), ".wasm") && e.Name() != p.SHA256+".wasm" && time.Since(info.ModTime()) > staleModule {
			err = errors.Join(err, os.Remove(d.file(p.Name, e.Name())))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process did
	}
	return err
}

// Load returns a policy and its module. The error wraps ErrNotInstalled or ErrChanged
// where it is one of them; what is known of the policy comes with the latter.
func (d Dir) Load(name string) (Policy, []byte, error) {
	p, err := d.record(name)
	if err != nil {
		return p, nil, err
	}
	wasm, err := d.read(p)
	return p, wasm, err
}

func (d Dir) read(p Policy) ([]byte, error) {
	wasm, err := readFile(d.module(p), runtime.DefaultModuleBytes)
	if err != nil {
		return nil, fmt.Errorf("installed policy %s: %w", p.Name, err)
	}
	if sum := sha256.Sum256(wasm); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, fmt.Errorf("installed policy %s: %w: the SHA-256 of %s is %x now; remove the policy, or install it again with --replace", p.Name, ErrChanged, d.module(p), sum)
	}
	return wasm, nil
}

// Names returns the names of what is installed, in their order. What Load says of one
// may still be an error.
func (d Dir) Names() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if CheckName(e.Name()) != nil {
			continue // not of ours
		}
		if _, err := os.Lstat(d.file(e.Name(), recordFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Remove removes a policy. The error wraps ErrNotInstalled if there is none of the name.
func (d Dir) Remove(name string) error {
	if _, err := d.record(name); errors.Is(err, ErrNotInstalled) {
		return err
	}
	// Once the record is gone, nothing is installed: the rest may fail.
	if err := os.Remove(d.file(name, recordFile)); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(d.path, name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wasm") {
			err = errors.Join(err, os.Remove(d.file(name, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	if entries, err = os.ReadDir(filepath.Join(d.path, name)); err != nil || len(entries) > 0 {
		return err // somebody else's files stay
	}
	return os.Remove(filepath.Join(d.path, name))
}

func (d Dir) file(name, file string) string { return filepath.Join(d.path, name, file) }

func (d Dir) module(p Policy) string { return d.file(p.Name, p.SHA256+".wasm") }

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// record reads what is recorded of a policy.
func (d Dir) record(name string) (Policy, error) {
	p := Policy{Name: name}
	missing := fmt.Errorf("policy %.100q: %w in %s", name, ErrNotInstalled, d.path)
	if CheckName(name) != nil {
		return p, missing
	}
	data, err := readFile(d.file(name, recordFile), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return p, missing
	}
	if err == nil {
		err = jsonv2.Unmarshal(data, &p)
	}
	if err == nil && !digestForm.MatchString(p.SHA256) {
		err = fmt.Errorf("sha256 is %.100q, want 64 hexadecimal digits", p.SHA256)
	}
	if err != nil {
		return Policy{Name: name}, fmt.Errorf("record of the installed policy %s: %.300w: remove the policy, or install it again with --replace", d.file(name, recordFile), err)
	}
	return p, nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return data, err
}
