// Command gen writes the assembly of package qgemm: tiles that are summed in
// registers, for AVX2, AVX-512 and AVX-512 VNNI, the packing of operands, and the
// epilogues. What it writes is in the repository; a test compares.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("amd64,!purego")
	narrow, wide := width{"Narrow", 1}, width{"Wide", 2}
	tile(avx2(), wide)
	for _, m := range []machine{avx512(), vnni()} {
		tile(m, wide)
		tile(m, narrow)
	}
	elements := []element{{"U8", "uint8", 0}, {"S8", "int8", 0x80}}
	for _, e := range elements {
		copyRow(e)
		interleave(e)
	}
	interleave(element{"AsIs", "uint8", 0x80})
	scale(floats256())
	scale(floats512())
	for _, e := range elements {
		quantize(e, floats256())
		quantize(e, floats512())
	}
	linear(elements)
	Generate()
}
