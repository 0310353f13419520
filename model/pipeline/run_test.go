package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) < 1e-6 })
}

// runFor runs a pipeline and returns one of its outputs.
func runFor(t *testing.T, p *Pipeline, in map[string]*tensor.Tensor, ask Ask, name string) []float32 {
	t.Helper()
	out, err := p.Run(t.Context(), in, ask)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range p.Outputs() {
		if got := out[v.Name]; got == nil || got.Check() != nil || !fits(got, v) {
			t.Fatalf("%v is not what was promised: %v", got, v)
		}
	}
	if len(out) != len(p.Outputs()) {
		t.Fatalf("%d outputs, promised %d", len(out), len(p.Outputs()))
	}
	return tensor.Data[float32](out[name])
}

// TestPool: tokens 1 2 3 have hidden states that tell their id, mask and position.
func TestPool(t *testing.T) {
	in := texts("a b c", "b", "c c")
	for way, want := range map[string][]float32{
		"mean": {2, 1, 1, 2, 1, 0, 3, 1, .5},
		"cls":  {1, 1, 0, 2, 1, 0, 3, 1, 0},
		"last": {3, 1, 2, 2, 1, 0, 3, 1, 1},
	} {
		for _, batch := range []string{"1", "3"} {
			p := open(t, plainDoc(shortText+", batch: "+batch, "[pool: "+way+"]"), textModel(hidden()))
			if got := runFor(t, p, in, echo, "embedding"); !near(got, want) {
				t.Errorf("%s, batch %s: %v, expected %v", way, batch, got, want)
			}
		}
	}
}

// TestFilledUp: a model of one length gets all texts with that length, and what fills them
// up counts for nothing.
func TestFilledUp(t *testing.T) {
	m := Model{Outputs: []onnx.ValueInfo{value("hidden", tensor.Float32, -1, 5, 3)}}
	for _, name := range []string{"input_ids", "attention_mask", "token_type_ids", "position_ids"} {
		m.Inputs = append(m.Inputs, value(name, tensor.Int32, -1, 5))
	}
	want := map[string][]int32{
		"input_ids": {1, 2, 4, 4, 4}, "attention_mask": {1, 1, 0, 0, 0}, "token_type_ids": {0, 0, 0, 0, 0}, "position_ids": {0, 1, 2, 3, 4},
	}
	ask := func(ctx context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		wide := map[string]*tensor.Tensor{}
		for name, t := range in {
			if !slices.Equal(tensor.Data[int32](t)[:5], want[name]) || t.Shape[1] != 5 {
				return nil, fmt.Errorf("%s is %v", name, tensor.Data[int32](t))
			}
			var w []int64
			for _, v := range tensor.Data[int32](t) {
				w = append(w, int64(v))
			}
			wide[name] = tensor.Of(w, t.Shape...)
		}
		return echo(ctx, "", wide)
	}
	for way, sum := range map[string][]float32{"mean": {1.5, 1, .5}, "last": {2, 1, 1}} {
		p := open(t, plainDoc("tokenizer: t.json, length: 4, pad: '[PAD]', batch: 2", "[pool: "+way+"]"), m)
		if got := runFor(t, p, texts("a b", "c c c c c c", "a b"), ask, "embedding"); !near(got[:3], sum) || !near(got[6:], sum) {
			t.Errorf("%s: %v, expected %v first and last", way, got, sum)
		}
	}
}

// TestBatches: texts of one length go together, up to the number that the document says
// and not more tokens than make a model faster; each result goes where its text was.
func TestBatches(t *testing.T) {
	half, more := strings.TrimSpace(strings.Repeat("a ", busyTokens/2)), strings.TrimSpace(strings.Repeat("a ", busyTokens/2+1))
	for _, c := range []struct {
		batch string
		texts []string
		want  []string
	}{
		{"1", []string{"a b", "c", "b b"}, []string{"[1 2]", "[1 1]", "[1 2]"}},
		{"2", []string{"a b", "c", "b b", "a a"}, []string{"[2 2]", "[1 1]", "[1 2]"}},
		{"64", []string{"a b", "c", "b b", "a a a"}, []string{"[1 1]", "[2 2]", "[1 3]"}},
		{"64", []string{half, half, half}, []string{"[2 32]", "[1 32]"}},
		{"64", []string{more, more}, []string{"[1 33]", "[1 33]"}},
		{"3", []string{"a", "b", "c", "a", "b"}, []string{"[3 1]", "[2 1]"}},
	} {
		p := open(t, plainDoc("tokenizer: t.json, length: 400, batch: "+c.batch, "[pool: cls]"), textModel(hidden()))
		var shapes []string
		got := runFor(t, p, texts(c.texts...), func(ctx context.Context, m string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			shapes = append(shapes, fmt.Sprint(in["input_ids"].Shape))
			return echo(ctx, m, in)
		}, "embedding")
		if !slices.Equal(shapes, c.want) {
			t.Errorf("batch %s of %.20q: runs %v, expected %v", c.batch, c.texts, shapes, c.want)
		}
		for i, text := range c.texts {
			if want := float32(text[0] - 'a' + 1); got[3*i] != want {
				t.Errorf("batch %s: %.20q got the result of a text that begins with %v", c.batch, text, got[3*i])
			}
		}
	}
}

// TestTokens: how many there are, special ones included, after the text was cut.
func TestTokens(t *testing.T) {
	p := open(t, plainDoc("tokenizer: t.json, length: 4", "[pool: mean]"), textModel(hidden()), "t.json", framed)
	out, err := p.Run(t.Context(), texts("a", "", "a a a a a"), echo)
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Data[int64](out["tokens"]); !slices.Equal(got, []int64{3, 2, 4}) {
		t.Errorf("%d tokens, expected 3, 2 and 4", got)
	}
}

// TestSteps: what steps make of the scores of one text.
func TestSteps(t *testing.T) {
	e, nan := float32(math.E), float32(math.NaN())
	for _, c := range []struct {
		output, name string
		scores, want []float32
	}{
		{"[softmax]", "score", []float32{0, 1, 0}, []float32{1 / (2 + e), e / (2 + e), 1 / (2 + e)}},
		{"[softmax]", "score", []float32{1e38, 1e38, -1e38}, []float32{.5, .5, 0}},
		{"[normalize]", "embedding", []float32{3, 0, 4}, []float32{.6, 0, .8}},
		{"[normalize]", "embedding", []float32{0, 0, 0}, []float32{0, 0, 0}},
		{"[normalize]", "embedding", []float32{1e30, 0, 1e30}, []float32{math.Sqrt2 / 2, 0, math.Sqrt2 / 2}},
		{"[top: 2]", "score", []float32{1, 3, 2}, []float32{3, 2}},
		{"[top: 2]", "score", []float32{nan, 3, nan}, []float32{3, nan}},
		{"[top: 1]", "score", []float32{5, 5, 5}, []float32{5}},
	} {
		p := open(t, plainDoc(shortText, c.output), textModel(logits()))
		got := runFor(t, p, texts("a"), answer("logits", tensor.Of(slices.Clone(c.scores), 1, 3)), c.name)
		same := func(x, y float32) bool { return x == y || x != x && y != y || math.Abs(float64(x-y)) < 1e-6 }
		if !slices.EqualFunc(got, c.want, same) {
			t.Errorf("%s of %v: %v, expected %v", c.output, c.scores, got, c.want)
		}
	}
}

// TestClassification: softmax, top and labels, for several texts.
func TestClassification(t *testing.T) {
	p := open(t, plainDoc(shortText, "[softmax, top: 2, labels: labels.txt]"), textModel(logits()), "labels.txt", "\ufeffred\r\ngreen\r\nblue")
	scores := map[int64][]float32{1: {9, 1, 5}, 2: {0, 0, 0}, 3: {-1, -2, 3}}
	out, err := p.Run(t.Context(), texts("a", "b", "c"), func(_ context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return map[string]*tensor.Tensor{"logits": tensor.Of(slices.Clone(scores[tensor.Data[int64](in["input_ids"])[0]]), 1, 3)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Data[string](out["label"]); !slices.Equal(got, []string{"red", "blue", "red", "green", "blue", "red"}) {
		t.Errorf("labels %q", got)
	}
	if got := tensor.Data[float32](out["score"])[2:4]; !near(got, []float32{1 / 3., 1 / 3.}) {
		t.Errorf("scores %v, expected a third each", got)
	}
}

// TestTake: the other outputs of the model are let go.
func TestTake(t *testing.T) {
	m := textModel(hidden())
	m.Outputs = append(m.Outputs, logits())
	p := open(t, plainDoc(shortText, "[take: logits, top: 1]"), m)
	ask := func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return map[string]*tensor.Tensor{"logits": tensor.Of([]float32{1, 3, 2}, 1, 3), "hidden": tensor.Of([]float32{1, 2, 3}, 1, 1, 3)}, nil
	}
	out, err := p.Run(t.Context(), texts("a"), ask)
	if err != nil || tensor.Data[int64](out["index"])[0] != 1 {
		t.Errorf("%v: %v", out, err)
	}
}

// TestCTC: scores of frames become text; only frames of the text itself are read.
func TestCTC(t *testing.T) {
	p := open(t, plainDoc(shortText, "[ctc: {vocabulary: vocab.json, blank: _, word: '|'}]"), textModel(hidden()))
	frames := func(classes ...int) *tensor.Tensor {
		data := make([]float32, 3*len(classes))
		for i, c := range classes {
			data[3*i+c] = 1
		}
		return tensor.Of(data, 1, int64(len(classes)), 3)
	}
	out, err := p.Run(t.Context(), texts("a b c a b c a"), answer("hidden", frames(1, 1, 0, 1, 2, 2, 1, 1)))
	if err != nil || tensor.Data[string](out["text"])[0] != "xx x" {
		t.Errorf("%v: %v", out, err)
	}
	out, err = p.Run(t.Context(), texts("a b"), answer("hidden", frames(1, 0, 1, 1)))
	if err != nil || tensor.Data[string](out["text"])[0] != "x" {
		t.Errorf("%v: %v", out, err)
	}
}

// TestRunRefuses: what a caller sends wrongly.
func TestRunRefuses(t *testing.T) {
	const secret = "Erika Mustermann"
	p := open(t, plainDoc(shortText, "[pool: mean]"), textModel(hidden()))
	many := make([]string, MaxItems+1)
	for _, c := range []struct {
		name string
		in   map[string]*tensor.Tensor
		says string
	}{
		{"nothing", nil, `input "text": missing, expected text string[-1]`},
		{"another input", map[string]*tensor.Tensor{"text": tensor.List("a"), "x": tensor.List("a")}, `input "x": not an input of this pipeline; its inputs are [text string[-1]]`},
		{"another type", map[string]*tensor.Tensor{"text": tensor.List[int64](1)}, "int64[1], expected string[-1]"},
		{"another rank", map[string]*tensor.Tensor{"text": tensor.Of([]string{"a"}, 1, 1)}, "string[1 1], expected string[-1]"},
		{"a shape that is not its", map[string]*tensor.Tensor{"text": tensor.Of([]string{"a"}, 2)}, `input "text"`},
		{"no texts", texts(), "0 elements, expected 1 to 2048"},
		{"too many texts", texts(many...), "2049 elements, expected 1 to 2048"},
		{"a long text", texts("a", strings.Repeat(secret, maxTextBytes/16+1)), `input "text", element 1: 131088 bytes, expected at most 131072`},
		{"no UTF-8", texts("a", "a", secret+"\xff"), `input "text", element 2: not UTF-8`},
		{"no tokens", texts("  "), `input "text", element 0: no tokens`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := p.Run(t.Context(), c.in, echo)
			refused(t, err, c.says)
			var input *InputError
			if !errors.As(err, &input) {
				t.Errorf("%v is no InputError", err)
			}
			if strings.Contains(fmt.Sprint(err), "Erika") {
				t.Errorf("the error says what was sent: %v", err)
			}
		})
	}
}

// TestUnknownText: a text that the tokenizer has no token for is the caller's fault.
func TestUnknownText(t *testing.T) {
	p := open(t, plainDoc(shortText, "[pool: mean]"), textModel(hidden()), "t.json",
		`{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": null, "byte_fallback": false, "fuse_unk": false}}`)
	if _, err := p.Run(t.Context(), texts("b"), echo); err == nil {
		t.Error("no error")
	} else if input := new(InputError); !errors.As(err, &input) || errors.Unwrap(input) == nil {
		t.Errorf("%v is no InputError with a reason", err)
	}
}

// TestModelBreaksItsWord: a model that does not give what it promised is an error, and
// nothing more.
func TestModelBreaksItsWord(t *testing.T) {
	f := func(shape ...int64) *tensor.Tensor {
		n, _ := tensor.Count(shape)
		return tensor.Of(make([]float32, n), shape...)
	}
	open3, open2 := value("x", tensor.Float32, -1, -1, -1), value("x", tensor.Float32, -1, -1)
	for _, c := range []struct {
		output string
		out    onnx.ValueInfo
		gives  *tensor.Tensor
		says   string
	}{
		{"[pool: mean]", open3, nil, "the model did not give x"},
		{"[pool: mean]", open3, tensor.Of([]int64{1}, 1, 1, 1), "the model did not give x"},
		{"[pool: mean]", open3, tensor.Of([]float32{1}, 1, 1, 2), "the model did not give x"},
		{"[pool: mean]", open3, f(1, 2), "expected 3 dimensions"},
		{"[pool: mean]", open3, f(2, 2, 2), "of which the first is 1"},
		{"[pool: mean]", open3, f(0, 2, 2), "of which the first is 1"},
		{"[pool: mean]", open3, f(1, 2, 0), "float32[1 2 0], which has nothing to pool"},
		{"[normalize]", open2, f(1), "expected 2 dimensions"},
		{"[softmax]", open2, f(3, 2), "of which the first is 1"},
		{"[softmax]", open2, f(1, 0), "score is float32[1 0]"},
		{"[top: 3]", open2, f(1, 2), "the model gave 2 classes, expected 3 or more"},
		{"[top: 2]", open2, f(1, 2, 2), "expected 2 dimensions"},
		{"[top: 2]", open2, f(1, 0), "the model gave 0 classes"},
		{"[top: 1, labels: labels.txt]", open2, tensor.Of([]float32{1, 2, 3, 4}, 1, 4), "the model has a class 3, labels are for 3"},
		{"[ctc: {vocabulary: vocab.json, blank: _}]", open3, f(1, 2, 2), "expected elements, frames and 3 classes"},
		{"[ctc: {vocabulary: vocab.json, blank: _}]", open3, f(1, 6), "expected 3 dimensions"},
		{"[take: x]", open2, f(), "x is float32[]"},
		{"[take: x]", open2, f(2, 3), "x is float32[2 3], expected float32 and 1 elements first"},
		{"[take: x]", open2, f(1, maxElements+1), "over the limit"},
	} {
		p := open(t, plainDoc(shortText, c.output), textModel(c.out))
		_, err := p.Run(t.Context(), texts("a"), func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			return map[string]*tensor.Tensor{"x": c.gives}, nil
		})
		refused(t, err, c.says)
		if input := new(InputError); errors.As(err, &input) {
			t.Errorf("%v is said to be the caller's fault", err)
		}
	}
}

// TestShapesDiffer: results of a request's parts have one shape, or there is none.
func TestShapesDiffer(t *testing.T) {
	p := open(t, plainDoc(shortText, "[take: x]"), textModel(value("x", tensor.Float32, -1, -1)))
	n := int64(0)
	_, err := p.Run(t.Context(), texts("a", "b"), func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		n++
		return map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, n), 1, n)}, nil
	})
	refused(t, err, "x has the shape [1] for some elements and [2] for others")
}

// TestAskFails: the error of a model goes to the caller as it is.
func TestAskFails(t *testing.T) {
	broken := errors.New("broken")
	for _, batch := range []string{"1", "2"} {
		p := open(t, plainDoc(shortText+", batch: "+batch, "[pool: mean]"), textModel(hidden()))
		for _, in := range []map[string]*tensor.Tensor{texts("a", "b"), texts("a")} {
			_, err := p.Run(t.Context(), in, func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
				return nil, broken
			})
			if !errors.Is(err, broken) {
				t.Errorf("%v, expected %v", err, broken)
			}
		}
	}
}

// scored is a model that gives each text three scores.
func scored(_ context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	n := in["input_ids"].Shape[0]
	return map[string]*tensor.Tensor{"logits": tensor.Of(make([]float32, 3*n), n, 3)}, nil
}

// TestCancelled: a run ends with its context, wherever it is.
func TestCancelled(t *testing.T) {
	for _, c := range []struct {
		output string
		model  onnx.ValueInfo
		ask    Ask
	}{
		{"[pool: mean]", hidden(), echo},
		{"[ctc: {vocabulary: vocab.json, blank: _}]", hidden(), echo},
		{"[softmax]", logits(), scored},
		{"[normalize]", logits(), scored},
		{"[top: 1]", logits(), scored},
		{"[take: logits]", logits(), scored},
	} {
		for _, batch := range []string{"1", "64"} {
			p := open(t, plainDoc(shortText+", batch: "+batch, c.output), textModel(c.model))
			for at := range 7 {
				cancelledIn(t, p, c.output+", batch "+batch, at, c.ask)
			}
		}
	}
}

// cancelledIn ends the context in the run of that number; 0 is before all of them. Only
// what is done by then may still be answered.
func cancelledIn(t *testing.T, p *Pipeline, what string, at int, ask Ask) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	runs := 0
	if at == 0 {
		cancel()
	}
	_, err := p.Run(ctx, texts("a", "a b", "a", "a b c", "a b", "a"), func(c context.Context, m string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		if runs++; runs == at {
			cancel()
		}
		return ask(c, m, in)
	})
	// take does nothing that takes time, and may end what is done.
	done := strings.Contains(what, "take") && runs == at && (at == 6 || at == 3)
	switch {
	case runs > at:
		t.Errorf("%s, cancelled in run %d: went on for %d", what, at, runs)
	case runs < at && err != nil:
		t.Errorf("%s: %v", what, err)
	case runs == at && !done && !errors.Is(err, context.Canceled):
		t.Errorf("%s, cancelled in run %d: %v", what, at, err)
	}
}

// TestInputsOfOneLength: a pipeline of several inputs gets as many elements of each.
func TestInputsOfOneLength(t *testing.T) {
	p := &Pipeline{inputs: []onnx.ValueInfo{value("text", tensor.String, -1), value("image", tensor.String, -1)}}
	in := texts("a", "b")
	in["image"] = tensor.List("c")
	_, err := p.Run(t.Context(), in, nil)
	refused(t, err, `input "image": 1 elements, other inputs have 2`)
}

// TestNothingIsMissing: an input that forgets an element is an error, and no answer.
func TestNothingIsMissing(t *testing.T) {
	_, err := newCollector([]onnx.ValueInfo{hidden()}, 1).done(nil)
	refused(t, err, "there is no hidden")
}

// TestTry: the model is asked for a text of full length with the last of all tokens.
func TestTry(t *testing.T) {
	p := open(t, plainDoc("tokenizer: t.json, length: 7", "[pool: mean]"), textModel(hidden()))
	var got []int64
	err := p.Try(t.Context(), func(ctx context.Context, m string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		got = tensor.Data[int64](in["input_ids"])
		return echo(ctx, m, in)
	})
	if err != nil || !slices.Equal(got, []int64{4, 4, 4, 4, 4, 4, 4}) {
		t.Errorf("tried with %d: %v", got, err)
	}
	broken := errors.New("index 4 of 3")
	err = p.Try(t.Context(), func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return nil, broken
	})
	refused(t, err, "m.onnx cannot take what input and output promise: index 4 of 3")
	if !errors.Is(err, broken) {
		t.Errorf("%v does not wrap its reason", err)
	}
}

// TestBytes: tokenizer, labels and vocabulary count.
func TestBytes(t *testing.T) {
	small := open(t, plainDoc(shortText, "[top: 1]"), textModel(logits())).Bytes()
	labels := open(t, plainDoc(shortText, "[top: 1, labels: labels.txt]"), textModel(logits())).Bytes()
	vocabulary := open(t, plainDoc(shortText, "[ctc: {vocabulary: vocab.json, blank: _}]"), textModel(hidden())).Bytes()
	if small < int64(len(tiny)) || labels < small+3*16+12 || vocabulary < small+3*16 {
		t.Errorf("%d bytes, %d with labels, %d with a vocabulary", small, labels, vocabulary)
	}
}
