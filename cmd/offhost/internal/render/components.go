package render

import (
	"slices"

	"github.com/offhost/offhost/host/report"
)

// components shows a row for each component; the children of one are folded into
// it, with their number, unless the page is verbose. What is in files has a column when
// anything is.
func components(p Page) *Table {
	t := &Table{Header: []string{"component", "size", "in files", "calls", "loads", "moved in", "moved back", "stall"}}
	for _, row := range fold(p) {
		name := Name(row.Name)
		if row.children > 0 {
			name += " (" + Count(row.children, "block") + ")"
		}
		t.Rows = append(t.Rows, []string{name, size(row.Bytes), size(row.FileBytes), number(row.Calls), number(row.Loads),
			size(row.H2DBytes), size(row.D2HBytes), duration(row.StallNS)})
	}
	if !slices.ContainsFunc(p.Report.PerComponent, func(c report.Component) bool { return c.FileBytes > 0 }) {
		const inFiles = 2
		t.Header = slices.Delete(t.Header, inFiles, inFiles+1)
		for i, row := range t.Rows {
			t.Rows[i] = slices.Delete(row, inFiles, inFiles+1)
		}
	}
	return t
}

type componentRow struct {
	report.Component
	children int64
}

// fold adds children to their parents. The calls stay the parent's own: each is one
// forward of the whole, however many blocks it runs.
func fold(p Page) []componentRow {
	at := map[string]int{}
	var rows []componentRow
	for _, c := range p.Report.PerComponent {
		if c.Parent == "" || p.Verbose {
			at[c.Name] = len(rows)
			rows = append(rows, componentRow{Component: c})
		}
	}
	if p.Verbose {
		return rows
	}
	for _, c := range p.Report.PerComponent {
		if c.Parent == "" {
			continue
		}
		i, ok := at[c.Parent]
		if !ok { // the report has no row for the parent
			i = len(rows)
			at[c.Parent] = i
			rows = append(rows, componentRow{Component: report.Component{Name: c.Parent}})
		}
		row := &rows[i]
		row.children++
		row.Bytes += c.Bytes
		row.FileBytes += c.FileBytes
		row.Loads += c.Loads
		row.H2DBytes += c.H2DBytes
		row.D2HBytes += c.D2HBytes
		row.StallNS += c.StallNS
	}
	return rows
}
