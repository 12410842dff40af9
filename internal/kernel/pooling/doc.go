// Package pooling computes maximum, average and global average pooling of
// channels-last images, and their gradients.
//
// A call handles rows of one image, so tasks may split a batch by image or by
// row; results do not depend on the split. Layouts:
//
//	x, dx [H][W][C]      y, g [OH][OW][C]      idx [OH][OW][C] bytes
//
// Windows reach into the padding only in the arithmetic of their position: a
// padded value never wins a maximum and adds nothing to an average. Ceil mode
// is not a setting: give the OH and OW it leads to. Every window must contain
// at least one pixel of the image; [Window.Validate] says so.
//
// Start at [Window].
package pooling
