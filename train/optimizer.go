package train

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/internal/kernel/optim"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/tensor"
)

// OptimizerOptions choose an optimizer. The update rules are PyTorch's.
type OptimizerOptions struct {
	// Type is "sgd", "adam", "adamw" or "rmsprop". Default "sgd".
	Type string `json:"type,omitempty"`
	// WeightDecay is the L2 penalty's factor, or the decoupled decay of adamw.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// Momentum of sgd and rmsprop; Nesterov looks ahead (sgd).
	Momentum float64 `json:"momentum,omitempty"`
	Nesterov bool    `json:"nesterov,omitempty"`
	// Betas of adam and adamw. Default 0.9, 0.999.
	Betas [2]float64 `json:"betas,omitzero"`
	// Epsilon of adam, adamw and rmsprop. Default 1e-8.
	Epsilon float64 `json:"eps,omitempty"`
	// Alpha is rmsprop's smoothing. Default 0.99.
	Alpha float64 `json:"alpha,omitempty"`
	// Groups give some parameters other settings: the first that matches a
	// parameter's name counts, parameters that none matches use the settings above.
	Groups []ParameterGroup `json:"parameter_groups,omitempty"`
}

// ParameterGroup is the settings of the parameters whose names contain a match
// of the regular expression Pattern; an empty one matches all.
type ParameterGroup struct {
	Pattern     string   `json:"re,omitempty"`
	LRScale     *float64 `json:"lr_scale,omitempty"`     // factor on the learning rate, default 1
	WeightDecay *float64 `json:"weight_decay,omitempty"` // default: the optimizer's
}

// Validate reports everything that is wrong with o.
func (o OptimizerOptions) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch strings.ToLower(o.Type) {
	case "", "sgd", "adam", "adamw", "rmsprop":
	default:
		bad("optimizer type: got %q, want sgd, adam, adamw or rmsprop", o.Type)
	}
	if !(o.WeightDecay >= 0) {
		bad("weight_decay: got %g, want 0 or more", o.WeightDecay)
	}
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		bad("momentum: got %g, want 0 to below 1", o.Momentum)
	}
	if o.Nesterov && o.Momentum == 0 {
		bad("nesterov needs a momentum above 0")
	}
	for _, b := range o.Betas {
		if !(b >= 0 && b < 1) {
			bad("betas: got %v, want 0 to below 1", o.Betas)
			break
		}
	}
	if !(o.Alpha >= 0 && o.Alpha < 1) {
		bad("alpha: got %g, want 0 to below 1", o.Alpha)
	}
	if !(o.Epsilon >= 0) {
		bad("eps: got %g, want 0 or more", o.Epsilon)
	}
	for i, g := range o.Groups {
		if _, err := regexp.Compile(g.Pattern); err != nil {
			bad("parameter_groups[%d]: %w", i, err)
		}
		if g.LRScale != nil && !(*g.LRScale >= 0) {
			bad("parameter_groups[%d]: lr_scale: got %g, want 0 or more", i, *g.LRScale)
		}
		if g.WeightDecay != nil && !(*g.WeightDecay >= 0) {
			bad("parameter_groups[%d]: weight_decay: got %g, want 0 or more", i, *g.WeightDecay)
		}
	}
	return errors.Join(errs...)
}

// Param is a trained tensor and its gradient, both float32 and of one length.
type Param struct {
	Name        string
	Value, Grad *tensor.Tensor
	// NoDecay exempts the parameter from weight decay unless a group names it:
	// quantizer ranges would otherwise shrink.
	NoDecay bool
	// Rule is what compression says about the parameter; a group that names it sets
	// the learning rate and decay all the same.
	Rule compress.ParameterRule
}

// optimizerGrain is the number of elements one task updates: 16 Ki floats of
// four arrays fit the L2 caches.
const optimizerGrain = 16 << 10

// Optimizer updates parameters in place from their gradients.
type Optimizer struct {
	opt    OptimizerOptions
	pool   *par.Pool
	params []paramState
	tasks  []span
	step   int

	noDecay       bool    // see Decay
	lr, gradScale float32 // of the step under way
	task          func(task, worker int)
}

type paramState struct {
	Param
	kind           string // optimizer type
	lrScale, decay float32
	lr             float32      // of its own, or 0
	slots          [2][]float32 // see slotNames
}

type span struct{ param, lo, hi int }

// NewOptimizer returns an optimizer over params. The options must be valid.
func NewOptimizer(o OptimizerOptions, params []Param, pool *par.Pool) (*Optimizer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Type = strings.ToLower(o.Type)
	if o.Type == "" {
		o.Type = "sgd"
	}
	if o.Betas == [2]float64{} {
		o.Betas = [2]float64{0.9, 0.999}
	}
	if o.Epsilon == 0 {
		o.Epsilon = 1e-8
	}
	if o.Alpha == 0 {
		o.Alpha = 0.99
	}
	opt := &Optimizer{opt: o, pool: pool}
	for _, p := range params {
		s := paramState{Param: p, kind: o.Type, lrScale: 1, decay: float32(o.WeightDecay), lr: float32(p.Rule.LR)}
		if p.NoDecay || p.Rule.NoDecay {
			s.decay = 0
		}
		if p.Rule.Optimizer != "" {
			s.kind = p.Rule.Optimizer
		}
		for _, g := range o.Groups {
			if !regexp.MustCompile(g.Pattern).MatchString(p.Name) {
				continue
			}
			if g.LRScale != nil {
				s.lrScale, s.lr = float32(*g.LRScale), 0
			}
			if g.WeightDecay != nil {
				s.decay = float32(*g.WeightDecay)
			}
			break
		}
		n := p.Value.Len()
		for i := range opt.slotNames(s.kind) {
			s.slots[i] = make([]float32, n)
		}
		for lo := 0; lo < n; lo += optimizerGrain {
			opt.tasks = append(opt.tasks, span{len(opt.params), lo, min(n, lo+optimizerGrain)})
		}
		opt.params = append(opt.params, s)
	}
	opt.task = opt.update
	return opt, nil
}

// slotNames names the state that a parameter has with an optimizer type, as
// PyTorch does.
func (o *Optimizer) slotNames(kind string) []string {
	switch {
	case kind == "adam", kind == "adamw":
		return []string{"exp_avg", "exp_avg_sq"}
	case kind == "rmsprop" && o.opt.Momentum == 0:
		return []string{"square_avg"}
	case kind == "rmsprop":
		return []string{"square_avg", "momentum_buffer"}
	case o.opt.Momentum == 0:
		return nil
	}
	return []string{"momentum_buffer"}
}

// Decay switches weight decay, that of groups included, off and on again. It is
// on at first, and is not part of the state.
func (o *Optimizer) Decay(on bool) { o.noDecay = !on }

// Step updates all parameters with the given learning rate. Gradients count
// times gradScale, which is how clipping and averaging reach them without a
// pass of their own. It allocates nothing.
func (o *Optimizer) Step(lr float64, gradScale float32) {
	o.begin(lr, gradScale)
	o.finish()
}

// begin sets what the updates of the next step need to know.
func (o *Optimizer) begin(lr float64, gradScale float32) { o.lr, o.gradScale = float32(lr), gradScale }

// finish updates what updatePart has not, and ends the step.
func (o *Optimizer) finish() {
	o.pool.Run(len(o.tasks), o.task)
	o.step++
}

// leaveOut says which parameters finish leaves out: the caller passes all of
// their gradients to updatePart, between begin and finish.
func (o *Optimizer) leaveOut(early func(param int) bool) {
	o.tasks = slices.DeleteFunc(o.tasks, func(s span) bool { return early(s.param) })
}

func (o *Optimizer) update(task, _ int) {
	t := o.tasks[task]
	o.updatePart(t.param, t.lo, o.params[t.param].Grad.F32()[t.lo:t.hi])
}

// updatePart updates the elements of a parameter from lo on, one for each of g.
func (o *Optimizer) updatePart(param, lo int, g []float32) {
	p := &o.params[param]
	if p.Rule.Frozen {
		return
	}
	hi := lo + len(g)
	w := p.Value.F32()[lo:hi]
	slot := func(i int) []float32 {
		if p.slots[i] == nil {
			return nil
		}
		return p.slots[i][lo:hi]
	}
	lr, decay := o.lr*p.lrScale, p.decay
	if p.lr != 0 {
		lr = p.lr
	}
	if o.noDecay {
		decay = 0
	}
	switch p.kind {
	case "sgd":
		optim.SGD{LR: lr, Momentum: float32(o.opt.Momentum), WeightDecay: decay, Nesterov: o.opt.Nesterov, GradScale: o.gradScale}.Step(w, g, slot(0))
	case "adam", "adamw":
		optim.Adam{LR: lr, Beta1: float32(o.opt.Betas[0]), Beta2: float32(o.opt.Betas[1]), Epsilon: float32(o.opt.Epsilon),
			WeightDecay: decay, Decoupled: p.kind == "adamw", GradScale: o.gradScale}.Step(w, g, slot(0), slot(1), o.step+1)
	case "rmsprop":
		optim.RMSProp{LR: lr, Alpha: float32(o.opt.Alpha), Epsilon: float32(o.opt.Epsilon), Momentum: float32(o.opt.Momentum),
			WeightDecay: decay, GradScale: o.gradScale}.Step(w, g, slot(0), slot(1))
	}
}

// State returns the step count and the moment tensors, which share memory with
// the optimizer, named optimizer/SLOT/PARAMETER.
func (o *Optimizer) State() (step int, tensors []NamedTensor) {
	for _, p := range o.params {
		for i, slot := range o.slotNames(p.kind) {
			tensors = append(tensors, NamedTensor{optimizerPrefix + slot + "/" + p.Name, tensor.From(p.slots[i], len(p.slots[i]))})
		}
	}
	return o.step, tensors
}

// optimizerPrefix begins the names of an optimizer's tensors in a checkpoint.
const optimizerPrefix = "optimizer/"

// MomentOf returns the parameter that a tensor of an optimizer's state belongs
// to, by the tensor's name.
func MomentOf(name string) (parameter string, ok bool) {
	rest, ok := strings.CutPrefix(name, optimizerPrefix)
	if !ok {
		return "", false
	}
	_, parameter, ok = strings.Cut(rest, "/")
	return parameter, ok
}

// LoadState restores what State returned, by name; tensors of other names that
// do not belong to an optimizer are passed over. What is missing, has another
// length, or belongs to another optimizer or another model is reported
// together, and then nothing changes.
func (o *Optimizer) LoadState(step int, tensors []NamedTensor) error {
	given := map[string]*tensor.Tensor{}
	for _, t := range tensors {
		if strings.HasPrefix(t.Name, optimizerPrefix) {
			given[t.Name] = t.Tensor
		}
	}
	var errs []error
	_, own := o.State()
	for _, t := range own {
		g := given[t.Name]
		switch {
		case g == nil:
			errs = append(errs, fmt.Errorf("%q is missing", t.Name))
		case g.DType() != tensor.Float32 || g.Len() != t.Tensor.Len():
			errs = append(errs, fmt.Errorf("%q: got %v, want %v", t.Name, g, t.Tensor))
		}
	}
	for _, t := range tensors {
		if given[t.Name] != nil && !slices.ContainsFunc(own, func(n NamedTensor) bool { return n.Name == t.Name }) {
			errs = append(errs, fmt.Errorf("%q is not state of this %s", t.Name, o.opt.Type))
		}
	}
	if step < 0 {
		errs = append(errs, fmt.Errorf("got %d steps", step))
	}
	if len(errs) > 0 {
		const most = 5 // another optimizer is wrong about every parameter
		if n := len(errs) - most; n > 0 {
			errs = append(errs[:most], fmt.Errorf("and %d more", n))
		}
		return fmt.Errorf("optimizer state: %w", errors.Join(errs...))
	}
	for _, t := range own {
		copy(t.Tensor.F32(), given[t.Name].F32())
	}
	o.step = step
	return nil
}
