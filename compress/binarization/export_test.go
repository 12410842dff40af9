package binarization

// KthLargest is tested against sorting.
var KthLargest = kthLargest
