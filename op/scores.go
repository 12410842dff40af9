package op

import "github.com/go-nncf/nncf/ir"

// Scores returns v, or, if v is a softmax over the last axis, what that is taken of.
func Scores(v *ir.Value) *ir.Value {
	if v.Def != nil {
		if s, ok := v.Def.Op.(Softmax); ok && (s.Axis == -1 || s.Axis == v.Type.Rank()-1) {
			return v.Def.In[0]
		}
	}
	return v
}
