//go:build !unix

package private

import "io/fs"

func checkOwn(string, fs.FileInfo) error { return nil }

func checkAbove(string, fs.FileInfo) error { return nil }

func checkOwner(string, fs.FileInfo) error { return nil }
