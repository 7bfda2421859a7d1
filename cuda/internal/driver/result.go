//go:build cuda

package driver

import "reflect"

// codeOf returns the number of a result of gorgonia's, whose type is not exported.
func codeOf(err error) (int, bool) {
	v := reflect.ValueOf(err)
	if !v.IsValid() || v.Kind() != reflect.Int || v.Type().PkgPath() != "gorgonia.org/cu" {
		return 0, false
	}
	return int(v.Int()), true
}
