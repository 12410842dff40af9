package op

// sparsityDefs: masks on weights, and what trains them; all our own.
var sparsityDefs = []Def{
	{Op: Mask{}, Domain: Internal},
	{Op: RBMask{}, Domain: Internal},
	{Op: RBMaskGrad{}, Domain: Internal},
	{Op: RBLoss{P: 0.05}, Domain: Internal},
	{Op: RBLossGrad{P: 0.05}, Domain: Internal},
	{Op: MovementMask{Rows: 1, Cols: 1}, Domain: Internal},
	{Op: MovementMaskGrad{Rows: 1, Cols: 1}, Domain: Internal},
}
