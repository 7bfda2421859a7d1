package abi

import _ "embed"

// Spec is SPEC.md, the ABI in words, and Header is offhost.h, the same for C: what a
// policy's author is given to read offline.
var (
	//go:embed SPEC.md
	Spec []byte
	//go:embed offhost.h
	Header []byte
)
