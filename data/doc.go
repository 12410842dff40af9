// Package data turns files into batches for training, evaluation and
// calibration.
//
// A [Dataset] gives single images with labels; [Open] reads one from a
// specification "kind:path" (CIFAR-10/100 binary, IDX, image folders, npz).
// [Transforms] change one image at a time, and a [Loader] makes batches of
// them, ahead of the consumer, that depend on the seed, the epoch and the
// position alone: the same bits whatever the number of workers, and also when
// an epoch is entered in the middle.
//
// One image is interleaved (row, column, channel); a batch is planar:
//
//	Image.Pix     H × W × C   uint8 0..255, or Image.Values float32
//	Batch.Images  [N, C, H, W] float32, (pixel/255 − mean)/std
//	Batch.Labels  [N] int64
//
// Examples of npz files without images are arrays of any shape instead, one for each
// input of a model ([Fields], [Select]), which Batch.Arrays has side by side.
//
// The package downloads nothing, decodes only what the standard library
// decodes (JPEG, PNG), and knows classification labels only: one integer per
// image, or none (−1). Malformed files give errors that name file, place,
// reason and remedy; memory stays within the order of the file's size.
package data
