package op

// tensorDefs: operators that move, select or describe values.
var tensorDefs = []Def{
	{Op: Identity{}, Decode: decodeWith(Identity{})},
	{Op: Cast{}, Decode: decodeCast, Encode: encodeCast},
	{Op: CastLike{}, Since: 15, Decode: decodeCastLike, Encode: since(15)},
	{Op: Shape{}, Decode: decodeShape, Encode: encodeShape},
	{Op: Size{}, Decode: decodeWith(Size{})},
	{Op: ConstantOfShape{}, Since: 9, Decode: decodeConstantOfShape, Encode: encodeConstantOfShape},
	{Op: Reshape{}, Decode: decodeReshape, Encode: encodeReshape},
	{Op: Flatten{Axis: 1}, Decode: decodeFlatten, Encode: encodeFlatten},
	{Op: Squeeze{}, Decode: decodeSqueeze, Encode: encodeSqueeze},
	{Op: Unsqueeze{}, Decode: decodeUnsqueeze, Encode: encodeUnsqueeze},
	{Op: Transpose{}, Decode: decodeTranspose, Encode: encodeTranspose},
	{Op: Concat{}, Decode: decodeConcat, Encode: encodeConcat},
	{Op: Slice{}, Decode: decodeSlice, Encode: encodeSlice},
	{Op: SliceGrad{}, Domain: Internal},
	{Op: Pad{}, Decode: decodePad, Encode: encodePad},
	{Op: PadGrad{}, Domain: Internal},
	{Op: Gather{}, Decode: decodeGather, Encode: encodeGather},
	{Op: GatherGrad{}, Domain: Internal},
	{Op: Expand{}, Since: 8, Decode: decodeWith(Expand{}), Encode: since(8)},
	{Op: Tile{}, Decode: decodeWith(Tile{})},
}
