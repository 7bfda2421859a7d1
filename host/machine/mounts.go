package machine

import "strings"

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	root    string // the part of the file system that is seen at point
	point   string
	kind    string
	options string // the file system's own
}

func (t tree) mounts() []mount {
	b, _ := t.read("/proc/self/mountinfo", largeFile)
	return parseMounts(b)
}

func parseMounts(b []byte) []mount {
	var mounts []mount
	fields(b, func(words []string) {
		// Six words, any number of optional ones, a dash, three words.
		if len(words) < 10 {
			return
		}
		for i := 6; i+3 < len(words); i++ {
			if words[i] == "-" {
				mounts = append(mounts, mount{
					root: unescape(words[3]), point: unescape(words[4]),
					kind: words[i+1], options: words[i+3],
				})
				return
			}
		}
	})
	return mounts
}

// unescape undoes the octal escapes by which the kernel keeps a path one word.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(s)
}
