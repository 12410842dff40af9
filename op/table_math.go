package op

// mathDefs: elementwise arithmetic, activations, comparison, logic, reductions.
var mathDefs = []Def{
	{Op: Add{}, Decode: decodeWith(Add{})},
}
