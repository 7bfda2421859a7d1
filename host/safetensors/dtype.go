package safetensors

import "strings"

// A DType is the type of a tensor's elements, by its name in the format.
type DType string

// The types of the reference library, version 0.8.
var dtypes = []struct {
	name DType
	bits int64
}{
	{"BOOL", 8}, {"U8", 8}, {"I8", 8}, {"U16", 16}, {"I16", 16}, {"U32", 32}, {"I32", 32}, {"U64", 64}, {"I64", 64},
	{"F16", 16}, {"BF16", 16}, {"F32", 32}, {"F64", 64}, {"C64", 64},
	{"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
	{"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
}

// Bits is the size of one element; 0 when the format has no such type.
func (d DType) Bits() int64 {
	for _, known := range dtypes {
		if known.name == d {
			return known.bits
		}
	}
	return 0
}

func knownDTypes() string {
	names := make([]string, len(dtypes))
	for i, known := range dtypes {
		names[i] = string(known.name)
	}
	return strings.Join(names, ", ")
}
