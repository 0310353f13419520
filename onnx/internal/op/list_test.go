package op

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// listCase is a node and what it gives, or the reason why it does not.
type listCase struct {
	op      string
	opset   int64
	at      attrs
	in      []*tensor.Tensor
	outputs int
	want    []*tensor.Tensor
	bad     string
}

func runListCases(t *testing.T, cases map[string]listCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := compute(c.op, c.opset, c.at, max(c.outputs, 1), c.in...)
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) || errors.Is(err, errInference) {
					t.Errorf("got %v, want %q", err, c.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if !alike(out[i], want) {
					t.Errorf("result %d is %s, want %s", i, show(out[i]), show(want))
				}
			}
		})
	}
}

// alike compares values, of which one may have no shape where the other has an empty one.
func alike(a, b *tensor.Tensor) bool { return show(a) == show(b) && a.Check() == nil }

func show(t *tensor.Tensor) string {
	s := fmt.Sprint(t.Type, t.Shape, t.ItemType, t.Inner)
	for _, item := range t.Items {
		s += " {" + show(item) + "}"
	}
	if t.Type.Element() {
		s += fmt.Sprintf(" %q", fmt.Sprint(elementsOf(t)))
	}
	return s
}

func elementsOf(t *tensor.Tensor) any {
	switch t.Type {
	case tensor.String:
		return tensor.Data[string](t)
	case tensor.Bool:
		return tensor.Data[bool](t)
	case tensor.Float32:
		return tensor.Data[float32](t)
	case tensor.Float64:
		return tensor.Data[float64](t)
	case tensor.Int32:
		return tensor.Data[int32](t)
	}
	return tensor.Data[int64](t)
}

func f32(v ...float32) *tensor.Tensor        { return tensor.List(v...) }
func texts(v ...string) *tensor.Tensor       { return tensor.List(v...) }
func scalar64(v int64) *tensor.Tensor        { return tensor.Scalar(v) }
func seq(v ...*tensor.Tensor) *tensor.Tensor { return tensor.SequenceOf(tensor.Float32, v...) }

func TestLists(t *testing.T) {
	abc := seq(f32(1), f32(2, 2), f32(3))
	matrix := tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	type in = []*tensor.Tensor
	runListCases(t, map[string]listCase{
		"empty":                    {op: "SequenceEmpty", opset: 11, at: attrs{"dtype": 7}, want: in{tensor.SequenceOf(tensor.Int64)}},
		"empty of nothing":         {op: "SequenceEmpty", opset: 11, at: attrs{"dtype": 99}, bad: `attribute "dtype"`},
		"before its day":           {op: "SequenceEmpty", opset: 10, bad: "exists since operator set 11"},
		"construct":                {op: "SequenceConstruct", opset: 11, in: in{f32(1), f32(2, 3)}, want: in{seq(f32(1), f32(2, 3))}},
		"construct of two types":   {op: "SequenceConstruct", opset: 11, in: in{f32(1), scalar64(1)}, bad: "is int64, but input 0 is float32"},
		"at":                       {op: "SequenceAt", opset: 11, in: in{abc, scalar64(1)}, want: in{f32(2, 2)}},
		"at from the end":          {op: "SequenceAt", opset: 11, in: in{abc, tensor.Scalar(int32(-3))}, want: in{f32(1)}},
		"at beyond":                {op: "SequenceAt", opset: 11, in: in{abc, scalar64(3)}, bad: "position 3 is outside of 3"},
		"at below":                 {op: "SequenceAt", opset: 11, in: in{abc, scalar64(-4)}, bad: "position -4 is outside of 3"},
		"at of two numbers":        {op: "SequenceAt", opset: 11, in: in{abc, tensor.List[int64](1, 2)}, bad: "expected one number"},
		"at of a tensor":           {op: "SequenceAt", opset: 11, in: in{f32(1), scalar64(0)}, bad: "is float32, expected sequence"},
		"insert":                   {op: "SequenceInsert", opset: 11, in: in{seq(f32(1)), f32(9)}, want: in{seq(f32(1), f32(9))}},
		"insert first":             {op: "SequenceInsert", opset: 11, in: in{seq(f32(1)), f32(9), scalar64(0)}, want: in{seq(f32(9), f32(1))}},
		"insert before the last":   {op: "SequenceInsert", opset: 11, in: in{abc, f32(9), scalar64(-1)}, want: in{seq(f32(1), f32(2, 2), f32(9), f32(3))}},
		"insert as far as it goes": {op: "SequenceInsert", opset: 11, in: in{abc, f32(9), scalar64(-3)}, want: in{seq(f32(9), f32(1), f32(2, 2), f32(3))}},
		"insert too far":           {op: "SequenceInsert", opset: 11, in: in{abc, f32(9), scalar64(-4)}, bad: "outside"},
		"insert beyond":            {op: "SequenceInsert", opset: 11, in: in{abc, f32(9), scalar64(4)}, bad: "position 4 is outside"},
		"insert of another type":   {op: "SequenceInsert", opset: 11, in: in{abc, scalar64(1)}, bad: "is int64, the sequence is of float32"},
		"erase the last":           {op: "SequenceErase", opset: 11, in: in{abc}, want: in{seq(f32(1), f32(2, 2))}},
		"erase":                    {op: "SequenceErase", opset: 11, in: in{abc, scalar64(0)}, want: in{seq(f32(2, 2), f32(3))}},
		"erase of nothing":         {op: "SequenceErase", opset: 11, in: in{seq()}, bad: "is empty"},
		"length":                   {op: "SequenceLength", opset: 11, in: in{abc}, want: in{scalar64(3)}},
		"split":                    {op: "SplitToSequence", opset: 11, in: in{matrix, scalar64(2)}, at: attrs{"axis": 1}, want: in{seq(tensor.Of([]float32{1, 2, 4, 5}, 2, 2), tensor.Of([]float32{3, 6}, 2, 1))}},
		"split by a list":          {op: "SplitToSequence", opset: 11, in: in{matrix, tensor.List[int64](0, 3)}, at: attrs{"axis": -1}, want: in{seq(tensor.Of([]float32{}, 2, 0), matrix)}},
		"split into slices":        {op: "SplitToSequence", opset: 11, in: in{matrix}, at: attrs{"keepdims": 0}, want: in{seq(f32(1, 2, 3), f32(4, 5, 6))}},
		"split that leaves some":   {op: "SplitToSequence", opset: 11, in: in{matrix, tensor.List[int64](1)}, bad: "pieces leave 1 of 2"},
		"split of more":            {op: "SplitToSequence", opset: 11, in: in{matrix, tensor.List[int64](1<<62, 1<<62)}, bad: "where 2 of 2 are left"},
		"split of negative":        {op: "SplitToSequence", opset: 11, in: in{matrix, tensor.List[int64](-1, 3)}, bad: "a piece of -1"},
		"split into none":          {op: "SplitToSequence", opset: 11, in: in{matrix, scalar64(0)}, bad: "pieces of 0"},
		"split of a scalar":        {op: "SplitToSequence", opset: 11, in: in{tensor.Scalar[float32](1)}, bad: "axis 0 is outside of rank 0"},
		"concat":                   {op: "ConcatFromSequence", opset: 11, in: in{abc}, at: attrs{"axis": 0}, want: in{f32(1, 2, 2, 3)}},
		"concat along a new axis":  {op: "ConcatFromSequence", opset: 11, in: in{seq(f32(1, 2), f32(3, 4))}, at: attrs{"axis": -1, "new_axis": 1}, want: in{tensor.Of([]float32{1, 3, 2, 4}, 2, 2)}},
		"concat of other shapes":   {op: "ConcatFromSequence", opset: 11, in: in{abc}, at: attrs{"axis": 0, "new_axis": 1}, bad: "turn 1 gives float32[2], those before float32[1]"},
		"concat of nothing":        {op: "ConcatFromSequence", opset: 11, in: in{seq()}, at: attrs{"axis": 0}, bad: "is empty"},
		"concat without axis":      {op: "ConcatFromSequence", opset: 11, in: in{abc}, bad: `attribute "axis" is required`},
		"optional":                 {op: "Optional", opset: 15, in: in{f32(1)}, want: in{tensor.OptionalOf(tensor.Float32, 0, f32(1))}},
		"optional of nothing":      {op: "Optional", opset: 15, bad: `attribute "type" is required`},
		"has":                      {op: "OptionalHasElement", opset: 15, in: in{tensor.OptionalOf(tensor.Float32, 0, f32(1))}, want: in{tensor.Scalar(true)}},
		"has not":                  {op: "OptionalHasElement", opset: 15, in: in{tensor.OptionalOf(tensor.Float32, 0, nil)}, want: in{tensor.Scalar(false)}},
		"has, of a tensor":         {op: "OptionalHasElement", opset: 18, in: in{f32(1)}, want: in{tensor.Scalar(true)}},
		"get":                      {op: "OptionalGetElement", opset: 15, in: in{tensor.OptionalOf(tensor.Float32, 0, f32(1))}, want: in{f32(1)}},
		"get of nothing":           {op: "OptionalGetElement", opset: 15, in: in{tensor.OptionalOf(tensor.Float32, 0, nil)}, bad: "is empty"},
	})
}

func TestTexts(t *testing.T) {
	type in = []*tensor.Tensor
	runListCases(t, map[string]listCase{
		"concat":                  {op: "StringConcat", opset: 20, in: in{texts("a", "b"), tensor.Scalar("!")}, want: in{texts("a!", "b!")}},
		"concat of shapes":        {op: "StringConcat", opset: 20, in: in{texts("a", "b"), texts("a", "b", "c")}, bad: "does not broadcast"},
		"split at spaces":         {op: "StringSplit", opset: 20, outputs: 2, in: in{texts(" a  b ", "")}, want: in{tensor.Of([]string{"a", "b", "", ""}, 2, 2), tensor.List[int64](2, 0)}},
		"split once":              {op: "StringSplit", opset: 20, outputs: 2, at: attrs{"maxsplit": 1}, in: in{texts(" a  b c ")}, want: in{tensor.Of([]string{"a", "b c "}, 1, 2), tensor.List[int64](2)}},
		"split at a delimiter":    {op: "StringSplit", opset: 20, outputs: 2, at: attrs{"delimiter": "-", "maxsplit": 1}, in: in{texts("a-b-c", "x")}, want: in{tensor.Of([]string{"a", "b-c", "x", ""}, 2, 2), tensor.List[int64](2, 1)}},
		"split of nothing":        {op: "StringSplit", opset: 20, outputs: 2, in: in{tensor.Of([]string{}, 0)}, want: in{tensor.Of([]string{}, 0, 0), tensor.Of([]int64{}, 0)}},
		"split less than never":   {op: "StringSplit", opset: 20, at: attrs{"maxsplit": -1}, in: in{texts("a")}, bad: `"maxsplit" is -1`},
		"lower without words":     {op: "StringNormalizer", opset: 10, at: attrs{"case_change_action": "LOWER", "stopwords": []string{"THE"}}, in: in{texts("The", "Ä")}, want: in{texts("ä")}},
		"words by case":           {op: "StringNormalizer", opset: 10, at: attrs{"is_case_sensitive": 1, "stopwords": []string{"THE"}}, in: in{texts("The", "THE")}, want: in{texts("The")}},
		"no word is left":         {op: "StringNormalizer", opset: 10, at: attrs{"stopwords": []string{"a"}}, in: in{tensor.Of([]string{"a"}, 1, 1)}, want: in{tensor.Of([]string{""}, 1, 1)}},
		"two rows":                {op: "StringNormalizer", opset: 10, in: in{tensor.Of([]string{"a", "b"}, 2, 1)}, bad: "expected a list or a matrix of one row"},
		"a language of its own":   {op: "StringNormalizer", opset: 10, at: attrs{"locale": "tr_TR"}, in: in{texts("a")}, bad: `"locale"`},
		"matches":                 {op: "RegexFullMatch", opset: 20, at: attrs{"pattern": "a+|b"}, in: in{texts("aa", "ab", "b", "")}, want: in{tensor.List(true, false, true, false)}},
		"pattern that is wrong":   {op: "RegexFullMatch", opset: 20, at: attrs{"pattern": "a)|(b"}, in: in{texts("a")}, bad: `attribute "pattern"`},
		"pattern that looks back": {op: "RegexFullMatch", opset: 20, at: attrs{"pattern": `(a)\1`}, in: in{texts("a")}, bad: "invalid escape sequence"},
		"pattern that is long":    {op: "RegexFullMatch", opset: 20, at: attrs{"pattern": strings.Repeat("a", 5000)}, in: in{texts("a")}, bad: "has 5000 bytes, at most 4096"},
		"pattern that repeats":    {op: "RegexFullMatch", opset: 20, at: attrs{"pattern": "(" + strings.Repeat("ab", 50) + "){1000}"}, in: in{texts("a")}, bad: "stands for more than 20000 symbols"},
		"n-grams": {op: "TfIdfVectorizer", opset: 9, at: attrs{"mode": "TFIDF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 1, "ngram_counts": []int64{0, 2}, "ngram_indexes": []int64{0, 1, 2},
			"pool_strings": []string{"a", "b", "a", "b"}, "weights": []float32{1, 1, 0.5}}, in: in{texts("a", "c", "b")}, want: in{f32(1, 1, 0.5)}},
		"n-grams that do not fit": {op: "TfIdfVectorizer", opset: 9, at: attrs{"mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "ngram_counts": []int64{0, 3}, "ngram_indexes": []int64{0},
			"pool_int64s": []int64{1, 2}}, in: in{tensor.List[int64](1)}, bad: `"ngram_counts" does not fit`},
		"n-grams in wild columns": {op: "TfIdfVectorizer", opset: 9, at: attrs{"mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0, "ngram_counts": []int64{0}, "ngram_indexes": []int64{1 << 40},
			"pool_int64s": []int64{1}}, in: in{tensor.List[int64](1)}, bad: `"ngram_indexes" holds 1099511627776`},
	})
}

// TestMatchingEndsWithTheRun even inside of one string.
func TestMatchingEndsWithTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	on := &kernel.On{Context: ctx}
	r := &letters{on: on, rest: strings.NewReader(strings.Repeat("a", 10_000))}
	n := 0
	for _, _, err := r.ReadRune(); err == nil; _, _, err = r.ReadRune() {
		n++
	}
	if n > 256 {
		t.Errorf("%d letters were read after the end", n)
	}
}

// TestTextIsCounted: what strings hold is not only their headers.
func TestTextIsCounted(t *testing.T) {
	full := errors.New("full")
	held := int64(0)
	env := &Env{On: &kernel.On{}, New: dirty, Keep: func(...*tensor.Tensor) {}, Hold: func(n int64) error {
		if held += n; held > 1000 {
			return full
		}
		return nil
	}}
	long := texts(strings.Repeat("a", 600))
	out := texts("")
	if err := (stringConcat{}).Run(env, []*tensor.Tensor{long, long}, []*tensor.Tensor{out}); !errors.Is(err, full) {
		t.Errorf("concat: %v", err)
	}
	held = 0
	if _, err := (stringSplit{delimiter: "a", most: -1}).Make(env, []*tensor.Tensor{long}); !errors.Is(err, full) {
		t.Errorf("split: %v", err)
	}
	held = 0
	if _, err := (stringNormalizer{action: "UPPER"}).Make(env, []*tensor.Tensor{long}); !errors.Is(err, full) {
		t.Errorf("normalizer: %v", err)
	}
}

// TestWhatEitherIs: joining what is known of two branches never says more than both.
func TestWhatEitherIs(t *testing.T) {
	for _, c := range []struct {
		a, b, want Info
		ok         bool
	}{
		{ranked(tensor.Float32, 1, 2), ranked(tensor.Float32, 1, 3), ranked(tensor.Float32, 1, -1), true},
		{ranked(tensor.Float32, 1), ranked(tensor.Float32, 1, 3), unranked(tensor.Float32), true},
		{ranked(tensor.Float32), ranked(tensor.Int64), Info{}, false},
		{Info{Type: tensor.Sequence}, Info{Type: tensor.Sequence, Item: tensor.Bool}, Info{Type: tensor.Sequence, Item: tensor.Bool}, true},
		{Info{Type: tensor.Sequence, Item: tensor.Int8}, Info{Type: tensor.Sequence, Item: tensor.Bool}, Info{}, false},
	} {
		got, err := either(c.a, c.b)
		if (err == nil) != c.ok || c.ok && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s or %s: %s, %v", c.a, c.b, got, err)
		}
	}
}
