package quantization

import (
	"bytes"
	"fmt"
	"html"
	"math"

	"github.com/go-nncf/nncf/compress/precision"
)

// WriteSVG draws the configurations that were tried: ratio to the right, metric
// upward on a logarithmic scale, the fronts of both searches as lines, and the
// chosen one marked.
func (r *PrecisionReport) WriteSVG(b *bytes.Buffer) {
	const width, height, left, right, top, bottom = 760, 480, 80, 20, 40, 60
	p := plot{r: r, x0: left, x1: width - right, y0: height - bottom, y1: top}
	p.fit()
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	for _, t := range ticks(p.low, p.high) {
		x := p.x(t)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", x, top, x, height-bottom)
		text(x, height-bottom+18, "middle", fmt.Sprintf("%.3g", t))
	}
	for e := math.Ceil(p.bottom); e <= p.top; e++ {
		y := p.y(math.Pow(10, e))
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", left, y, width-right, y)
		text(left-8, y+4, "end", fmt.Sprintf("1e%g", e))
	}
	text((left+width-right)/2, height-18, "middle", fmt.Sprintf("compression ratio (%s at 8 bits / %[1]s)", r.Cost))
	fmt.Fprintf(b, `<text transform="translate(20 %d) rotate(-90)" text-anchor="middle">metric: Σ trace · ‖W − Q(W)‖²</text>`+"\n", height/2)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#999" stroke-dasharray="4 4"/>`+"\n", p.x(r.Wanted), top, p.x(r.Wanted), height-bottom)
	text(p.x(r.Wanted)+4, top+12, "start", fmt.Sprintf("wanted %.3g", r.Wanted))
	for _, c := range r.Configurations {
		if c.Search == precision.ByTrace {
			p.dot(b, c.Config, 2, "#bbb")
		}
	}
	p.line(b, r.OrderedFront, "#d95f02")
	p.line(b, r.ExactFront, "#1b6ca8")
	p.dot(b, r.Chosen.Config, 6, "#c00")
	legend := []struct{ s, color string }{{"ordered by trace", "#d95f02"}}
	if len(r.ExactFront) > 0 {
		legend = append(legend, struct{ s, color string }{"exact", "#1b6ca8"})
	}
	legend = append(legend, struct{ s, color string }{fmt.Sprintf("chosen: ratio %.3f, metric %.3g (%s)", r.Chosen.Ratio, r.Chosen.Metric, r.Chosen.Search), "#c00"})
	x := float64(left)
	for _, l := range legend {
		fmt.Fprintf(b, `<rect x="%.1f" y="14" width="10" height="10" fill="%s"/>`+"\n", x, l.color)
		text(x+14, 23, "start", l.s)
		x += 14 + 7*float64(len(l.s)) + 16
	}
	b.WriteString("</svg>\n")
}

// plot maps ratios and metrics to the picture.
type plot struct {
	r              *PrecisionReport
	x0, x1, y0, y1 float64
	low, high      float64 // ratios
	bottom, top    float64 // decimal logarithms of metrics
}

func (p *plot) fit() {
	p.low, p.high = min(p.r.Least, p.r.Wanted), max(p.r.Largest, p.r.Wanted)
	if p.high-p.low < 1e-6 {
		p.low, p.high = p.low-0.5, p.high+0.5
	}
	p.bottom, p.top = math.Inf(1), math.Inf(-1)
	see := func(m float64) {
		if m > 0 {
			p.bottom, p.top = min(p.bottom, math.Log10(m)), max(p.top, math.Log10(m))
		}
	}
	see(p.r.Chosen.Metric)
	for _, c := range p.r.Configurations {
		see(c.Metric)
	}
	if math.IsInf(p.bottom, 0) {
		p.bottom, p.top = -1, 1
	}
	p.bottom, p.top = p.bottom-0.2, p.top+0.2
}

func (p *plot) x(ratio float64) float64 {
	return p.x0 + (ratio-p.low)/(p.high-p.low)*(p.x1-p.x0)
}

func (p *plot) y(metric float64) float64 {
	if metric <= 0 {
		return p.y0
	}
	return p.y0 + (math.Log10(metric)-p.bottom)/(p.top-p.bottom)*(p.y1-p.y0)
}

func (p *plot) dot(b *bytes.Buffer, c precision.Config, radius int, color string) {
	fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="%d" fill="%s"><title>ratio %.4g, metric %.4g, bits %v</title></circle>`+"\n",
		p.x(c.Ratio), p.y(c.Metric), radius, color, c.Ratio, c.Metric, c.Bits)
}

func (p *plot) line(b *bytes.Buffer, list []precision.Config, color string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, color)
	for _, c := range list {
		fmt.Fprintf(b, "%.1f,%.1f ", p.x(c.Ratio), p.y(c.Metric))
	}
	b.WriteString("\"/>\n")
	for _, c := range list {
		p.dot(b, c, 2, color)
	}
}

// ticks are about six round numbers in a range.
func ticks(low, high float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(step*m) >= 4 {
			step *= m
			break
		}
	}
	var list []float64
	for k := math.Ceil(low / step); k*step <= high*(1+1e-9); k++ {
		list = append(list, k*step)
	}
	return list
}
