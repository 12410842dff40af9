package compress

// Statistics are numbers and tables for people and reports, in a fixed order.
type Statistics struct {
	Numbers []Number `json:"numbers,omitempty"`
	Tables  []Table  `json:"tables,omitempty"`
}

// Number is one named figure.
type Number struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Table is a titled table; every row has one cell per column.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Add appends another algorithm's statistics.
func (s *Statistics) Add(t Statistics) {
	s.Numbers = append(s.Numbers, t.Numbers...)
	s.Tables = append(s.Tables, t.Tables...)
}
