package main

// Where the fields of gemm's type tile are, in bytes. A test of that package
// compares them with the type.
const (
	fieldA         = 0
	fieldB         = 24
	fieldC         = 48
	fieldExtra     = 72
	fieldBias      = 96
	fieldRowBias   = 120
	fieldARow      = 144
	fieldACol      = 152
	fieldBRow      = 160
	fieldCRow      = 168
	fieldExtraRow  = 176
	fieldK         = 184
	fieldRows      = 192
	fieldCols      = 200
	fieldFlags     = 208
	fieldAhead     = 216
	fieldAheadStep = 240
	fieldAlpha     = 248
	fieldBeta      = 252
	fieldLo        = 256
	fieldHi        = 260
)

// The bits of its flags.
const (
	flagCarry  = 1
	flagFinish = 2
	flagAdd    = 4
	flagClip   = 8
)
