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
	fieldCols      = 192
	fieldFlags     = 200
	fieldTiles     = 208
	fieldHeight    = 216
	fieldTaller    = 224
	fieldAhead     = 232
	fieldAheadStep = 256
	fieldAlpha     = 264
	fieldBeta      = 268
	fieldLo        = 272
	fieldHi        = 276
)

// The bits of its flags.
const (
	flagCarry  = 1
	flagFinish = 2
	flagAdd    = 4
	flagClip   = 8
	flagScale  = 16
)
