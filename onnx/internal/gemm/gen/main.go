// Command gen writes the assembly of package gemm: tiles that are summed in
// registers, for AVX2 and AVX-512, and what packs transposed matrices or does
// without. What it writes is in the repository; a test compares.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("amd64,!purego")
	for _, m := range []machine{avx2(), avx512()} {
		for _, w := range widths {
			tile(m, w)
		}
	}
	turn()
	dot()
	Generate()
}
