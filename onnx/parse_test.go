package onnx

import (
	"bytes"
	"math"
	"strings"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestMalformedModels(t *testing.T) {
	good := [][]byte{x(), relu(), y()}
	twice := append(pb.Model(good...), pb.Msg(7, good...)...)
	w := func(parts ...[]byte) []byte {
		return pb.Model(pb.Initializer(parts...), pb.Node("", "Identity", []string{"w"}, []string{"y"}), y())
	}
	attr := func(parts ...[]byte) []byte {
		return pb.Model(x(), pb.Node("n", "Softmax", []string{"x"}, []string{"y"}, parts...), y())
	}
	for name, c := range map[string]struct {
		model []byte
		want  string
	}{
		"cut inside a message":        {pb.Model([]byte{0x80}), "a varint is cut off"},
		"name of another wire type":   {pb.Model(pb.Msg(1, pb.Int(3, 1))), "field 3 has wire type 0, expected 2"},
		"weight of another wire type": {pb.Model(pb.Int(5, 1)), "field 5 has wire type 0, expected 2"},
		"unknown operator set field":  {append(pb.Model(good...), pb.Msg(8, pb.Int(9, 1))...), "operator set: unknown field 9"},
		"two sets of one domain":      {join(pb.Model(good...), pb.Msg(8, pb.Str(1, "d"), pb.Int(2, 1)), pb.Msg(8, pb.Str(1, "d"), pb.Int(2, 1))), `two versions of the operator set "d"`},
		"unknown list type field":     {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(4, pb.Int(7, 1))))), "unknown field 7"},
		"unknown shape field":         {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(1, pb.Int(1, 1), pb.Msg(2, pb.Int(9, 1)))))), "unknown field 9"},
		"reads itself":                {pb.Model(x(), pb.Node("", "Neg", []string{"y"}, []string{"y"}), y()), "is made by this node itself: a cycle"},
		"element below its type":      {w(pb.Head("w", 2, 1), pb.Int(5, -1)), "uint8 element 0 is -1, expected 0 to 255"},
		"element below 32 bits":       {w(pb.Head("w", 6, 1), pb.Int(5, -1<<40)), "does not fit into 32 bits"},
		"list of another type":        {pb.Model(x(), pb.Node("", "SequenceConstruct", []string{"x"}, []string{"y"}), pb.Msg(12, pb.Str(1, "y"), pb.Msg(2, pb.Msg(4, pb.Msg(1, pb.Msg(1, pb.Int(1, 7))))))), `value "y": declared as`},
		"empty":                       {nil, "file format version (ir_version) 0"},
		"text":                        {[]byte("not a model"), "onnx: "},
		"old format":                  {join(pb.Int(1, 2), pb.Msg(8, pb.Int(2, 17)), pb.Msg(7)), "file format version (ir_version) 2"},
		"future format":               {join(pb.Int(1, 99), pb.Msg(8, pb.Int(2, 17)), pb.Msg(7)), "file format version (ir_version) 99"},
		"no operator set":             {join(pb.Int(1, 8), pb.Msg(7, good...)), `node 0 (Relu): the model does not say which version of the operator set "" it means`},
		"operator set zero":           {pb.ModelAt(0, good...), "operator set version 0, this engine has 1 to 28"},
		"future operator set":         {pb.ModelAt(99, good...), "operator set version 99"},
		"two operator sets":           {append(pb.Model(good...), pb.Msg(8, pb.Str(1, "ai.onnx"), pb.Int(2, 13))...), "two versions of the default operator set"},
		"no graph":                    {join(pb.Int(1, 8), pb.Msg(8, pb.Int(2, 17))), "no graph"},
		"two graphs":                  {twice, "field 7 is there twice"},
		"two format versions":         {append(pb.Model(good...), pb.Int(1, 7)...), "field 1 is there twice"},
		"unknown field":               {append(pb.Model(good...), pb.Int(99, 1)...), "unknown field 99"},
		"unknown graph field":         {pb.Model(pb.Int(40, 1)), "unknown field 40"},
		"unknown node field":          {pb.Model(pb.Msg(1, pb.Str(3, "n"), pb.Int(40, 1))), `node 0 "n": unknown field 40`},
		"unknown tensor field":        {w(pb.Str(8, "w"), pb.Int(40, 1)), `initializer "w": unknown field 40`},
		"training":                    {append(pb.Model(good...), pb.Msg(20)...), "training information"},
		"sparse initializer":          {pb.Model(pb.Msg(15)), "sparse initializers"},
		"unknown tensor list field":   {w(pb.Str(8, "w"), pb.Int(63, 1)), "unknown field 63"},
		"map input":                   {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(5)))), `input "x": maps, opaque and sparse values`},
		"lists of lists of lists":     {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(4, pb.Msg(1, pb.Msg(4, pb.Msg(1, pb.Msg(4)))))))), "more than 2 levels of lists"},
		"sequence of optionals":       {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(4, pb.Msg(1, pb.Msg(9)))))), "a sequence of optionals"},
		"input of unknown type":       {pb.Model(pb.Input("x", 48)), `input "x": element type 48 is not known`},
		"value of two types":          {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(1), pb.Msg(4)))), "is of 2 types at once"},
		"wrong wire type":             {pb.Model(pb.Int(1, 5)), "field 1 has wire type 0, expected 2"},
		"name not UTF-8":              {pb.Model(pb.Input("\xff", 1)), "not UTF-8"},
		"negative declared dim":       {pb.Model(pb.Input("x", 1, -4), relu(), y()), `input "x": dimension -4 is negative`},
		"dim and symbol":              {pb.Model(pb.Msg(11, pb.Str(1, "x"), pb.Msg(2, pb.Msg(1, pb.Int(1, 1), pb.Msg(2, pb.Msg(1, pb.Int(1, 3), pb.Str(2, "n"))))))), `both 3 and "n"`},
		"high rank input":             {pb.Model(pb.Input("x", 1, make([]any, 17)...)), "more than 16 dimensions"},
		"no output":                   {pb.Model(x(), relu()), "the graph has no output"},
		"output twice":                {pb.Model(x(), relu(), y(), y()), `output 1 "y" is there twice`},
		"unmade output":               {pb.Model(x(), relu(), pb.OpenOutput("z", 1)), `output 0 "z": no input, initializer or node makes it`},
		"unnamed output":              {pb.Model(x(), relu(), pb.OpenOutput("", 1)), "no input, initializer or node makes it"},
		"unnamed input":               {pb.Model(pb.Input("", 1), relu(), y()), "an input has no name"},
		"input twice":                 {pb.Model(x(), x(), relu(), y()), `input "x" is there twice`},
		"initializer twice":           {pb.Model(pb.Initializer(pb.Floats("w", nil, 1)), pb.Initializer(pb.Floats("w", nil, 1)), y()), `initializer "w" is there twice`},
		"unnamed initializer":         {pb.Model(pb.Initializer(pb.Floats("", nil, 1)), y()), "an initializer has no name"},
		"undefined input":             {pb.Model(pb.Node("fc1", "Relu", []string{"q"}, []string{"y"}), y()), `node 0 "fc1" (Relu): input 0 "q": no input, initializer or node makes it`},
		"self cycle":                  {pb.Model(pb.Node("", "Relu", []string{"y"}, []string{"y"}), y()), "a cycle"},
		"cycle":                       {pb.Model(pb.Node("", "Relu", []string{"b"}, []string{"a"}), pb.Node("", "Relu", []string{"a"}, []string{"b"}), pb.OpenOutput("b", 1)), `node 0 (Relu): input 0 "b": is made by node 1, which comes later`},
		"output is an input":          {pb.Model(x(), pb.Node("", "Relu", []string{"x"}, []string{"x"}), pb.OpenOutput("x", 1)), `output 0 "x": the name is taken by an input`},
		"output is an initializer":    {pb.Model(x(), pb.Initializer(pb.Floats("y", nil, 1)), relu(), y()), "the name is taken by an initializer"},
		"output made twice":           {pb.Model(x(), relu(), relu(), y()), `node 1 (Relu): output 0 "y": the name is taken by node 0`},
		"no operator":                 {pb.Model(x(), pb.Msg(1, pb.Str(1, "x"), pb.Str(2, "y")), y()), "no operator"},
		"unknown domain":              {pb.Model(x(), pb.Msg(1, pb.Str(1, "x"), pb.Str(2, "y"), pb.Str(4, "Relu"), pb.Str(7, "com.example")), y()), `domain "com.example" is not supported`},
		"unknown operator":            {pb.Model(x(), pb.Node("", "Frob", []string{"x"}, []string{"y"}), y()), "node 0 (Frob): operator is not supported by this engine"},
		"all unknown operators":       {pb.Model(x(), pb.Node("", "Frob", []string{"x"}, []string{"a"}), pb.Node("", "Nicate", []string{"a"}, []string{"y"}), y()), "missing in all: \"Frob\", \"Nicate\""},
		"overload":                    {pb.Model(pb.Msg(1, pb.Str(4, "Relu"), pb.Str(8, "v2"))), `no function of that name and overload "v2"`},
		"too few inputs":              {pb.Model(x(), pb.Node("", "Add", []string{"x"}, []string{"y"}), y()), "has 1 inputs, expected 2"},
		"too many inputs":             {pb.Model(x(), pb.Node("", "Relu", []string{"x", "x"}, []string{"y"}), y()), "has 2 inputs, expected 1"},
		"too many outputs":            {pb.Model(x(), pb.Node("", "Relu", []string{"x"}, []string{"y", "z"}), y()), "has 2 outputs, expected 1"},
		"no outputs":                  {pb.Model(x(), pb.Node("", "Relu", []string{"x"}, nil), pb.OpenOutput("x", 1)), "has 0 outputs"},
		"required input left out":     {pb.Model(x(), pb.Node("", "Add", []string{"x", ""}, []string{"y"}), y()), "is required"},
		"unknown attribute":           {attr(pb.AttrInt("axis", 0), pb.AttrInt("frob", 1)), `node 0 "n" (Softmax): attribute "frob" is not known`},
		"attribute of wrong kind":     {attr(pb.AttrFloat("axis", 0)), `attribute "axis" is float, expected int`},
		"attribute twice":             {attr(pb.AttrInt("axis", 0), pb.AttrInt("axis", 0)), `attribute "axis": is there twice`},
		"attribute lies on kind":      {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Float(2, 1), pb.Int(20, 2))), "says it holds int, but holds another kind too"},
		"attribute without kind":      {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Int(3, 1))), "kind 0 (undefined) is not supported"},
		"attribute without tensor":    {pb.Model(pb.Node("", "Constant", nil, []string{"y"}, pb.Msg(5, pb.Str(1, "value"), pb.Int(20, 4))), y()), `attribute "value": no tensor`},
		"attribute reference":         {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Str(21, "a"), pb.Int(20, 2))), "refers to an attribute of a function, but is in none"},
		"attribute refers and holds":  {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Str(21, "a"), pb.Int(3, 1), pb.Int(20, 2))), `refers to "a", but holds a value too`},
		"attribute graph list":        {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Msg(11), pb.Int(20, 10))), "lists of graphs"},
		"attribute sparse tensor":     {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Msg(22), pb.Int(20, 11))), "sparse tensors are not supported"},
		"attribute without graph":     {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Int(20, 5))), "no graph"},
		"attribute without type":      {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Int(20, 13))), "no type"},
		"attribute tensor list":       {attr(pb.Msg(5, pb.Str(1, "axis"), pb.Msg(10), pb.Int(20, 9))), "undefined is not an element type"},
		"axis out of range":           {attr(pb.AttrInt("axis", 1)), `input 0 "x": axis 1 is outside of rank 1`},
		"negative dim":                {w(pb.Head("w", 1, -1), pb.Msg(9)), "dimension -1 in shape [-1] is negative"},
		"overflowing dims":            {w(pb.Head("w", 1, 1<<40, 1<<40), pb.Msg(9)), "more elements than an int64 can count"},
		"too many elements":           {w(pb.Head("w", 1, 1<<40), pb.Msg(9)), "has 1099511627776 elements, the limit is"},
		"high rank":                   {w(pb.Head("w", 1, make([]int64, 17)...), pb.Msg(9)), "more than 16 dimensions"},
		"too few raw bytes":           {w(pb.Head("w", 1, 2), pb.Msg(9, make([]byte, 7))), "needs 2 float32 elements of 4 bytes, got 7 bytes"},
		"too few elements":            {w(pb.Head("w", 1, 2), pb.Float(4, 1)), "needs 2 float32 elements, got 1"},
		"elements of another type":    {w(pb.Head("w", 1, 1), pb.Int(7, 1)), "a field that float32 does not use"},
		"elements stored twice":       {w(pb.Head("w", 1, 1), pb.Float(4, 1), pb.Msg(9, make([]byte, 4))), "stored twice"},
		"raw strings":                 {w(pb.Head("w", 8, 1), pb.Msg(9, []byte("a"))), "cannot be stored raw"},
		"raw bool of 2":               {w(pb.Head("w", 9, 1), pb.Msg(9, []byte{2})), "bool element 0 is 2"},
		"typed bool of 2":             {w(pb.Head("w", 9, 1), pb.Int(5, 2)), "bool element 0 is 2"},
		"segment":                     {w(pb.Head("w", 1), pb.Msg(3)), "segments"},
		"float64 elements":            {w(pb.Head("w", 11, 1), pb.Msg(10, make([]byte, 7))), "7 bytes of packed doubles, not a multiple of 8"},
		"int8 out of range":           {w(pb.Head("w", 3, 1), pb.Int(5, 128)), "int8 element 0 is 128, expected -128 to 127"},
		"float16 out of range":        {w(pb.Head("w", 10, 1), pb.Int(5, 1<<16)), "float16 element 0 is 65536, expected 0 to 65535"},
		"int4 out of range":           {w(pb.Head("w", 22, 2), pb.Int(5, 256)), "int4 element 0 is 256, expected 0 to 255"},
		"uint32 out of range":         {w(pb.Head("w", 12, 1), pb.Int(11, 1<<32)), "uint32 element 0 is 4294967296"},
		"int32 out of range":          {w(pb.Head("w", 6, 1), pb.Int(5, 1<<31)), "does not fit into 32 bits"},
		"half a complex number":       {w(pb.Head("w", 14, 1), pb.Float(4, 1)), "needs 1 complex64 elements of 8 bytes, got 4 bytes"},
		"too few packed bytes":        {w(pb.Head("w", 22, 3), pb.Msg(9, make([]byte, 1))), "needs 3 int4 elements of 4 bits, got 1 bytes"},
		"too many packed bytes":       {w(pb.Head("w", 25, 4), pb.Msg(9, make([]byte, 2))), "needs 4 uint2 elements of 2 bits, got 2 bytes"},
		"shape goes on after raw":     {w(pb.Head("w", 1, 2), pb.Msg(9, make([]byte, 8)), pb.Int(1, 1)), "the shape goes on after the elements"},
		"long empty tensor":           {w(pb.Head("w", 1, 0, 1<<40), pb.Msg(9)), "has dimension 1099511627776, the limit is"},
		"unknown element type":        {w(pb.Head("w", 27, 1), pb.Msg(9, make([]byte, 1))), "is not an element type"},
		"declared type differs":       {pb.Model(x(), relu(), pb.OpenOutput("y", 7)), `value "y": declared as int64, but is float32`},
		"declared shape differs":      {pb.Model(pb.Input("x", 1, 2), relu(), pb.Output("y", 1, 3)), `value "y": declared with shape [3], but has [2]`},
		"declared rank differs":       {pb.Model(x(), relu(), pb.Output("y", 1, "n", 1)), "declared with shape"},
		"weight listed as other":      {pb.Model(pb.Input("w", 7), pb.Initializer(pb.Floats("w", nil, 1)), pb.OpenOutput("w", 1)), `input "w": declared as int64`},
		"types of operands differ":    {pb.Model(x(), pb.Input("z", 7, "n"), pb.Node("", "Add", []string{"x", "z"}, []string{"y"}), y()), `input 1 "z": is int64, but input 0 is float32`},
		"type of operand":             {pb.Model(pb.Input("x", 8, "n"), relu(), y()), `input 0 "x": is string, expected float32 or`},
		"shapes do not broadcast":     {pb.Model(pb.Input("x", 1, 2), pb.Input("z", 1, 3), pb.Node("", "Add", []string{"x", "z"}, []string{"y"}), y()), `input 1 "z": shape [3] does not broadcast with [2]`},
		"matrices do not multiply":    {pb.Model(pb.Input("x", 1, "n", 4), pb.Input("W", 1, 5, 2), pb.Input("c", 1, 2), pb.Node("fc1", "Gemm", []string{"x", "W", "c"}, []string{"y"}), y()), `node 0 "fc1" (Gemm): input 1 "W": has 5 rows after transposition, but A has 4 columns`},
		"reshape that does not fit":   {pb.Model(pb.Input("x", 1, 4), pb.Initializer(pb.Ints("s", []int64{1}, 3)), pb.Node("", "Reshape", []string{"x", "s"}, []string{"y"}), y()), "shape [3] has 3 elements, operand of shape [4] has 4"},
		"axes operand before its day": {pb.ModelAt(13, x(), pb.Initializer(pb.Ints("a", []int64{1}, 0)), pb.Node("", "ReduceMax", []string{"x", "a"}, []string{"y"}), y()), "before operator set 18 the axes are an attribute"},
		"constant of two values":      {pb.Model(pb.Node("", "Constant", nil, []string{"y"}, pb.AttrFloat("value_float", 1), pb.AttrInt("value_int", 1)), y()), "has 2 values, expected 1"},
		"constant of none":            {pb.Model(pb.Node("", "Constant", nil, []string{"y"}), y()), "has 0 values, expected 1"},
		"cast to nowhere":             {pb.Model(x(), pb.Node("", "Cast", []string{"x"}, []string{"y"}), y()), `attribute "to" is required`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(c.model, DefaultLimits())
			wantError(t, err, c.want)
		})
	}
}

func TestLimitsAreHeld(t *testing.T) {
	base := pb.Model(x(), pb.Initializer(pb.Floats("w", []int64{3}, 1, 2, 3)), pb.Node("", "Concat", []string{"x", "w"}, []string{"y"}, pb.AttrInt("axis", 0)), y())
	if _, err := load(base, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	for want, lower := range map[string]func(*Limits){
		"the limit is 10":                func(l *Limits) { l.Bytes = 10 },
		"more than 2 inputs and outputs": func(l *Limits) { l.Values = 2 },
		"of more than 2 elements":        func(l *Limits) { l.Weights = 2 },
		"has 3 elements, the limit is 2": func(l *Limits) { l.Elements = 2 },
		"string of 6 bytes":              func(l *Limits) { l.StringBytes = 5 },
		"limit Nodes is 0":               func(l *Limits) { l.Nodes = 0 },
		"limit RunBytes is -1":           func(l *Limits) { l.RunBytes = -1 },
		"limit Bytes is 0":               func(l *Limits) { *l = Limits{} },
	} {
		lim := DefaultLimits()
		lower(&lim)
		_, err := Parse(base, lim)
		wantError(t, err, want)
	}
	two := func(part []byte) []byte { return pb.Model(x(), part, part, y()) }
	for want, c := range map[string]struct {
		model []byte
		lower func(*Limits)
	}{
		"more than 1 nodes":          {two(relu()), func(l *Limits) { l.Nodes = 1 }},
		"more than 1 stored tensors": {two(pb.Initializer(pb.Floats("w", nil, 1))), func(l *Limits) { l.Initializers = 1 }},
		"more than 1 attributes": {pb.Model(x(), pb.Node("", "Gemm", []string{"x", "x"}, []string{"y"}, pb.AttrInt("transA", 0), pb.AttrInt("transB", 0)), y()),
			func(l *Limits) { l.Attributes = 1 }},
		"more than 1 dimensions": {pb.Model(pb.Input("x", 1, 1, 1), relu(), y()), func(l *Limits) { l.Rank = 1 }},
		"needs 2305843009213693952 float64 elements": {pb.Model(pb.Initializer(pb.Head("w", 11, 1<<61), pb.Msg(9)), pb.OpenOutput("w", 11)),
			func(l *Limits) { l.Elements, l.Weights = math.MaxInt64, math.MaxInt64 }},
	} {
		lim := DefaultLimits()
		c.lower(&lim)
		_, err := Parse(c.model, lim)
		wantError(t, err, want)
	}
}

// TestLimitsAreHeldWhereNothingIsCalled: what nobody calls is not measured before it is
// written out, so the reader alone counts it.
func TestLimitsAreHeldWhereNothingIsCalled(t *testing.T) {
	function := func(fields ...[]byte) []byte { return pb.Function("own", "F", nil, nil, fields...) }
	inside := func(graph ...[]byte) []byte {
		return function(pb.Inner("", "If", nil, nil, pb.AttrGraph("then_branch", graph...)))
	}
	text := func(field int) []byte { return join(pb.Str(field, "a"), pb.Str(field, "b")) }
	deep := relu()
	for range 4 {
		deep = pb.Node("", "If", nil, nil, pb.AttrGraph("then_branch", deep))
	}
	names := make([]string, maxNodeAttributes+1)
	for want, c := range map[string]struct {
		function []byte
		lower    func(*Limits)
	}{
		"more than 1 nodes": {function(), func(l *Limits) { l.Nodes = 1 }},
		"node 0 (If): more than 3 attributes": {function(pb.Inner("", "If", nil, nil, pb.AttrInt("a", 1), pb.AttrInt("b", 1), pb.AttrInt("c", 1), pb.AttrInt("d", 1))),
			func(l *Limits) { l.Attributes = 3 }},
		"graphs inside graphs: more than 4 levels":                   {inside(deep), func(l *Limits) { l.Depth = 4 }},
		`function "F": more than 9 inputs and outputs`:               {pb.Function("own", "F", make([]string, 9), nil), func(l *Limits) { l.Values = 9 }},
		`function "F": more than 8 inputs and outputs`:               {function(pb.Msg(9, pb.Str(1, "a"), pb.Int(2, 1)), pb.Msg(9, pb.Str(1, "b"), pb.Int(2, 1)), pb.Msg(9, pb.Str(1, "c"), pb.Int(2, 1))), func(l *Limits) { l.Values = 8 }},
		`attribute "then_branch": more than 7 inputs and outputs`:    {inside(y(), y()), func(l *Limits) { l.Values = 7 }},
		`function "F": more than 256 attributes of one function`:     {pb.Msg(25, pb.Str(1, "F"), texts(6, names)), func(*Limits) {}},
		`attribute "then_branch": node 0 (N): attribute "s": stored`: {inside(pb.Node("", "N", nil, nil, pb.Msg(5, pb.Str(1, "s"), text(9), pb.Int(20, 8)))), func(l *Limits) { l.Weights = 1 }},
		`initializer "w": stored tensors of more than 1`:             {inside(pb.Initializer(pb.Head("w", 8, 2), text(6))), func(l *Limits) { l.Weights = 1 }},
		`attribute "b": more than 1 stored tensors`:                  {function(pb.Inner("", "N", nil, nil, pb.AttrTensor("a", pb.Floats("", nil, 1)), pb.AttrTensor("b", pb.Floats("", nil, 1)))), func(l *Limits) { l.Initializers = 1 }},
	} {
		lim := DefaultLimits()
		c.lower(&lim)
		_, err := Parse(append(pb.Model(x(), relu(), y()), c.function...), lim)
		wantError(t, err, want)
	}
}

func texts(field int, s []string) (out []byte) {
	for _, s := range s {
		out = append(out, pb.Str(field, s)...)
	}
	return out
}

// TestPackedAndUnpackedMeanTheSame: writers may use both forms for numbers.
func TestPackedAndUnpackedMeanTheSame(t *testing.T) {
	for name, w := range map[string][]byte{
		"raw":                  pb.Floats("w", []int64{2}, 1, 2),
		"unpacked":             join(pb.Head("w", 1, 2), pb.Float(4, 1), pb.Float(4, 2)),
		"raw before the shape": join(pb.Str(8, "w"), pb.Int(2, 1), pb.Msg(9, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}), pb.Int(1, 2)),
		"raw before the type":  join(pb.Str(8, "w"), pb.Int(1, 2), pb.Msg(9, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}), pb.Int(2, 1)),
		"packed":               join(pb.Str(8, "w"), pb.Int(2, 1), pb.Msg(1, []byte{2}), pb.Msg(4, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40})),
	} {
		s := mustLoad(t, pb.Model(pb.Initializer(w), pb.Output("w", 1, 2)))
		out, err := s.Run(t.Context(), nil)
		if err != nil || tensor.Data[float32](out["w"])[0] != 1 || tensor.Data[float32](out["w"])[1] != 2 {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}

// TestModelSharesNothingWithItsBytes: the caller may reuse the buffer.
func TestModelSharesNothingWithItsBytes(t *testing.T) {
	data := pb.Model(pb.Initializer(pb.Floats("w", []int64{2}, 1, 2)), pb.Output("w", 1, 2))
	m, err := Parse(data, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	copy(data, bytes.Repeat([]byte{0xff}, len(data)))
	s, err := NewSession(m)
	if err != nil || s.Outputs()[0].Name != "w" {
		t.Fatalf("%v", err)
	}
	out, err := s.Run(t.Context(), nil)
	if err != nil || tensor.Data[float32](out["w"])[1] != 2 {
		t.Errorf("%v, %v", out, err)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data := pb.Model(x(), pb.Initializer(pb.Floats("w", []int64{1}, 1)), pb.Node("n", "Add", []string{"x", "w"}, []string{"y"}), y())
	for n := range len(data) {
		if _, err := load(data[:n], DefaultLimits()); err == nil {
			t.Errorf("accepted %d of %d bytes", n, len(data))
		} else if !strings.HasPrefix(err.Error(), "onnx: ") || strings.Contains(err.Error(), "internal error") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
