// Package vec answers how a stretch of float32 elements is computed as fast as
// the machine can: functions of single elements, sums and maxima, softmax and
// normalisation of rows, conversions, transposition.
//
// Each function takes the level of instructions to use and has three forms:
// portable Go, AVX2 and AVX-512. The vector forms are described once, in package
// main below gen, and written by it for both widths. They agree bit for bit with
// each other where each element stands alone, and with portable Go within the
// bounds told beside each function; sums are taken in another order by each form.
//
// Bounds of errors are relative to the exact value unless called absolute; they
// are those of the vector forms, measured by the tests over the whole range.
// Portable Go rounds the float64 result. NaN gives NaN, infinities give the
// limit, and denormal numbers count.
//
// An element's value depends neither on its place in a slice nor on the slice's
// length. Where dst and a source are the same slice, the function works in place;
// they must not overlap otherwise. A source must be as long as dst or longer: the
// functions panic if it is not, as Go's own slicing does. Shapes are the caller's
// to check.
//
// Nothing here starts a goroutine or looks at a context: callers cut the work
// into stretches.
package vec

//go:generate go run ./gen
