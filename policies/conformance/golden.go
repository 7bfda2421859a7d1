package conformance

import (
	"embed"
	"fmt"
)

//go:embed testdata/golden/*.jsonl
var goldenFiles embed.FS

// Golden returns the logs that the package keeps: the beginnings of shipped traces, as a
// host has told them to the built-in lru. They are the same for every module.
func Golden() (logs []*Log, err error) {
	const dir = "testdata/golden"
	entries, err := goldenFiles.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, err := goldenFiles.Open(dir + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		log, err := ReadLog(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		logs = append(logs, log)
	}
	return logs, nil
}
