package render

import (
	"io"
	"strings"
	"unicode/utf8"
)

// A Table is rows of text under a header. The first Left columns are aligned to the
// left, as names are, the others to the right, as figures are; cells beyond the
// header are remarks. It has no colour and no lines, so that it reads the same in
// a terminal, a file and a mail.
type Table struct {
	Header []string
	Left   int // 0 stands for 1
	Rows   [][]string
}

const gap = "  "

// Write writes the header and the rows.
func (t *Table) Write(w io.Writer) error {
	rows := append([][]string{t.Header}, t.Rows...)
	width := make([]int, len(t.Header))
	for _, row := range rows {
		for i := range min(len(row), len(width)) {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			if i > 0 {
				line += gap
			}
			pad := ""
			if i < len(width) {
				pad = strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			}
			if i < max(1, t.Left) {
				line += cell + pad
			} else {
				line += pad + cell
			}
		}
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
