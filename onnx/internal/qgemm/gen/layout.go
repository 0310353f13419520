package main

// Where the fields of qgemm's type tile are, in bytes. A test of that package
// compares them with the type.
const (
	fieldA       = 0
	fieldB       = 24
	fieldC       = 48
	fieldZeroA   = 72
	fieldExcess  = 96
	fieldZeroB   = 120
	fieldSum     = 144
	fieldARow    = 168
	fieldBPanel  = 176
	fieldCRow    = 184
	fieldQuads   = 192
	fieldRows    = 200
	fieldColumns = 208
	fieldFlags   = 216
)

// The bits of its flags.
const (
	flagCarry  = 1
	flagFinish = 2
)

const (
	quad  = 4
	panel = 16
)
