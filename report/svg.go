package report

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
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
	s := fmt.Sprintf("%.2f", v)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
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

// Lines draws series over steps numbered from 1; unit is that of the values,
// such as "%". The value axis begins at 0 unless values lie below.
func Lines(title, steps, unit string, series []Series) []byte {
	c := &canvas{width: 720, height: 400}
	const left, right, top, bottom = 60, 20, 40, 340
	n, lo, hi := 0, 0.0, 0.0
	for _, s := range series {
		n = max(n, len(s.Values))
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
		c.add(`<line x1="%d" y1="%s" x2="%s" y2="%s" stroke="#ddd"/>`, left, num(y(v)), num(c.width-right), num(y(v)))
		c.text(left-6, y(v)+4, "end", num(v)+" "+unit)
	}
	for i := range n {
		if every := (n + 19) / 20; i%every == 0 {
			c.text(x(i), bottom+18, "middle", fmt.Sprint(i+1))
		}
	}
	c.text(c.width/2, bottom+36, "middle", steps)
	for k, s := range series {
		color := palette[k%len(palette)]
		dash := ""
		if s.Dashed {
			dash = ` stroke-dasharray="6 4"`
		}
		var line []string
		flush := func() {
			if len(line) > 0 {
				c.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, strings.Join(line, " "), color, dash)
			}
			line = nil
		}
		for i, v := range s.Values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				flush()
				continue
			}
			line = append(line, num(x(i))+","+num(y(v)))
			c.add(`<circle cx="%s" cy="%s" r="2.5" fill="%s"/>`, num(x(i)), num(y(v)), color)
		}
		flush()
		lx := left + float64(k)*(c.width-left-right)/float64(len(series))
		c.add(`<line x1="%s" y1="388" x2="%s" y2="388" stroke="%s" stroke-width="2"%s/>`, num(lx), num(lx+24), color, dash)
		c.text(lx+30, 392, "start", s.Name)
	}
	return c.picture(title)
}

// Bar is a named value between 0 and the picture's largest; Note is written at its end.
type Bar struct {
	Name  string
	Value float64
	Note  string
}

// Bars draws bars from left to right, one below the other, against full, the
// length of the widest possible one.
func Bars(title, unit string, full float64, bars []Bar) []byte {
	const row, top, left, right = 20.0, 40.0, 260.0, 130.0
	c := &canvas{width: 900, height: top + row*float64(len(bars)) + 20}
	if !(full > 0) {
		full = 1
	}
	width := c.width - left - right
	for _, v := range ticks(0, full, 5) {
		at := left + width*v/full
		c.add(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="#ddd"/>`, num(at), num(top-6), num(at), num(c.height-14))
		c.text(at, c.height-2, "middle", num(v)+" "+unit)
	}
	for i, b := range bars {
		y := top + row*float64(i)
		v := min(max(b.Value, 0), full)
		c.text(left-6, y+13, "end", shorten(b.Name, 40))
		c.add(`<rect x="%s" y="%s" width="%s" height="%s" fill="#eee"/>`, num(left), num(y+2), num(width), num(row-5))
		c.add(`<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`, num(left), num(y+2), num(width*v/full), num(row-5), palette[0])
		c.text(left+width+6, y+13, "start", strings.TrimSpace(num(b.Value)+" "+unit+" "+b.Note))
	}
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
