package report

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
	"unicode/utf8"
)

// palette is Okabe and Ito's, which people of all kinds of sight tell apart.
var palette = [...]string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"}

// Series is a line through one value per step; NaN leaves a gap.
type Series struct {
	Name   string
	Values []float64
	// Dashed lines are wishes, solid ones what was reached.
	Dashed bool
}

// canvas collects elements.
type canvas struct {
	bytes.Buffer
	width, height float64
}

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

func (c *canvas) text(x, y float64, anchor, s string) {
	c.add(`<text x="%s" y="%s" text-anchor="%s">%s</text>`, num(x), num(y), anchor, html.EscapeString(s))
}

// line draws a straight line; more are further attributes, each behind a space.
func (c *canvas) line(x1, y1, x2, y2 float64, color, more string) {
	c.add(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s"%s/>`, num(x1), num(y1), num(x2), num(y2), color, more)
}

func (c *canvas) bar(x, y, width, height float64, color string) {
	c.add(`<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`, num(x), num(y), num(width), num(height), color)
}

// picture is the whole file.
func (c *canvas) picture(title string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" font-family="sans-serif" font-size="12">`+"\n", num(c.width), num(c.height), num(c.width), num(c.height))
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", html.EscapeString(title))
	fmt.Fprintf(&b, `<text x="%s" y="20" text-anchor="middle" font-size="14">%s</text>`+"\n", num(c.width/2), html.EscapeString(title))
	b.Write(c.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// num writes a coordinate with at most two decimals.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	s := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

// ticks returns round numbers from lo to hi, about n of them.
func ticks(lo, hi float64, n int) []float64 {
	if !(hi > lo) || n < 1 {
		return []float64{lo}
	}
	raw := (hi - lo) / float64(n)
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, k := range []float64{1, 2, 5, 10} {
		if step*k >= raw {
			step *= k
			break
		}
	}
	var list []float64
	for v := math.Ceil(lo/step) * step; v <= hi+step*1e-9; v += step {
		list = append(list, v)
	}
	return list
}

// charWidth is about the width of a character of the labels.
const charWidth = 6.7

// textWidth is about the width of the longest text.
func textWidth(list []string) float64 {
	n := 0
	for _, s := range list {
		n = max(n, utf8.RuneCountInString(s))
	}
	return charWidth * float64(n)
}

// Lines draws series over steps numbered from 1; unit is that of the values,
// such as "%", and steps and values name the axes. The value axis begins at 0
// unless values lie below. A dashed series has the color of the solid one behind
// it.
func Lines(title, steps, values, unit string, series []Series) []byte {
	const left, right, top, bottom, legend, row = 84.0, 24.0, 40.0, 330.0, 388.0, 20.0
	c := &canvas{width: 760}
	n, lo, hi := 0, 0.0, 0.0
	var names []string
	for _, s := range series {
		n = max(n, len(s.Values))
		names = append(names, s.Name)
		for _, v := range s.Values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if hi == lo {
		hi = lo + 1
	}
	x := func(i int) float64 { return left + (c.width-left-right)*(float64(i)+0.5)/float64(max(1, n)) }
	y := func(v float64) float64 { return bottom - (bottom-top)*(v-lo)/(hi-lo) }
	for _, v := range ticks(lo, hi, 6) {
		c.line(left, y(v), c.width-right, y(v), "#ddd", "")
		c.text(left-8, y(v)+4, "end", strings.TrimSpace(num(v)+" "+unit))
	}
	c.line(left, top-6, left, bottom, "#666", "")
	c.line(left, bottom, c.width-right, bottom, "#666", "")
	for i := range n {
		if every := (n + 19) / 20; i%every == 0 {
			c.line(x(i), bottom, x(i), bottom+4, "#666", "")
			c.text(x(i), bottom+18, "middle", fmt.Sprint(i+1))
		}
	}
	c.text((left+c.width-right)/2, bottom+38, "middle", steps)
	c.add(`<text transform="translate(18 %s) rotate(-90)" text-anchor="middle">%s</text>`, num((top+bottom)/2), html.EscapeString(values))
	column := 34 + textWidth(names) + 16
	perRow := max(1, int((c.width-left-right)/column))
	color := 0
	for k, s := range series {
		paint, dash := palette[color%len(palette)], ""
		if s.Dashed {
			dash = ` stroke-dasharray="6 4"`
		} else {
			color++
		}
		var line []string
		flush := func() {
			if len(line) > 0 {
				c.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, strings.Join(line, " "), paint, dash)
			}
			line = nil
		}
		for i, v := range s.Values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				flush()
				continue
			}
			line = append(line, num(x(i))+","+num(y(v)))
			if !s.Dashed {
				c.add(`<circle cx="%s" cy="%s" r="2.5" fill="%s"/>`, num(x(i)), num(y(v)), paint)
			}
		}
		flush()
		lx, ly := left+float64(k%perRow)*column, legend+row*float64(k/perRow)
		c.line(lx, ly, lx+26, ly, paint, ` stroke-width="2"`+dash)
		c.text(lx+34, ly+4, "start", s.Name)
	}
	c.height = legend + row*float64((len(series)+perRow-1)/perRow)
	return c.picture(title)
}

// Bar is a named part of something whole; Label is written at the end of its line.
type Bar struct {
	Name        string
	Value, Full float64
	Label       string
}

// Bars draws bars from left to right, one below the other, each before its whole
// in gray; unit is that of the values, and axis says what they are.
func Bars(title, axis, unit string, bars []Bar) []byte {
	const row, top, gap = 20.0, 44.0, 8.0
	var names, labels []string
	full := 0.0
	for _, b := range bars {
		names, labels = append(names, shorten(b.Name, 48)), append(labels, b.Label)
		if !math.IsNaN(b.Full) {
			full = max(full, b.Full)
		}
	}
	if !(full > 0) || math.IsInf(full, 0) {
		full = 1
	}
	const width = 480.0
	left, right := 16+textWidth(names)+gap, gap+textWidth(labels)+16
	bottom := top + row*float64(len(bars))
	c := &canvas{width: max(left+width+right, 40+9*float64(utf8.RuneCountInString(title))), height: bottom + 48}
	for i, b := range bars {
		y := top + row*float64(i)
		whole := min(max(b.Full, 0), full)
		c.text(left-gap, y+14, "end", names[i])
		c.bar(left, y+3, width*whole/full, row-6, "#e4e4e4")
		c.bar(left, y+3, width*min(max(b.Value, 0), whole)/full, row-6, palette[0])
		c.text(left+width+gap, y+14, "start", b.Label)
	}
	for _, v := range ticks(0, full, 5) {
		at := left + width*v/full
		c.add(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="#000" stroke-opacity="0.12"/>`, num(at), num(top-4), num(at), num(bottom+4))
		c.text(at, bottom+18, "middle", strings.TrimSpace(num(v)+" "+unit))
	}
	c.line(left, top-4, left, bottom+4, "#666", "")
	c.text(left+width/2, bottom+38, "middle", axis)
	return c.picture(title)
}

// shorten keeps the end of a long name, which tells layers apart.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}
