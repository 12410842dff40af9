package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/report"
)

// count parses a picture, which must be well-formed, and counts its elements.
func count(t *testing.T, b []byte) map[string]int {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	n := map[string]int{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if e, ok := tok.(xml.StartElement); ok {
			n[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s: %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

func TestLines(t *testing.T) {
	b := report.Lines(`a <level> & "more"`, "epoch", "level", "%", []report.Series{
		{Name: "asked", Values: []float64{10, 20, 30}, Dashed: true},
		{Name: "reached", Values: []float64{10, math.NaN(), 29, math.Inf(1)}}})
	n := count(t, b)
	// two pieces of the second line, in the color of the first; its finite values
	if n["polyline"] != 3 || n["circle"] != 2 || strings.Contains(string(b), "#D55E00") {
		t.Errorf("got %v", n)
	}
	if !bytes.Equal(b, report.Lines(`a <level> & "more"`, "epoch", "level", "%", []report.Series{
		{Name: "asked", Values: []float64{10, 20, 30}, Dashed: true},
		{Name: "reached", Values: []float64{10, math.NaN(), 29, math.Inf(1)}}})) {
		t.Error("equal numbers give different pictures")
	}
	count(t, report.Lines("empty", "epoch", "level", "%", nil))
}

func TestBars(t *testing.T) {
	long := strings.Repeat("layer.", 20) + "conv1"
	b := report.Bars("zeros", "share", "%", []report.Bar{{Name: "conv1", Value: 50, Full: 100, Label: "50 % of 432"}, {Name: long, Value: 250, Full: 100}, {Name: "none", Value: math.NaN(), Full: 50}})
	n := count(t, b)
	if n["rect"] != 1+2*3 {
		t.Errorf("got %v", n)
	}
	// the first is half of the room, which is 480
	if !strings.Contains(string(b), `width="240"`) || !strings.Contains(string(b), "layer.conv1</text>") || strings.Contains(string(b), long) {
		t.Errorf("got %s", b)
	}
	legend := string(report.Lines("legend", "epoch", "level", "%", []report.Series{{Name: strings.Repeat("a", 50)}, {Name: strings.Repeat("b", 50)}}))
	if !strings.Contains(legend, `y="392"`) || !strings.Contains(legend, `y="412"`) {
		t.Errorf("long names share a line of the legend: %s", legend)
	}
	count(t, report.Bars("empty", "", "", nil))
}
