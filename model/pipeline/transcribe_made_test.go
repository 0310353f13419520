package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/mel"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// A made-up model of Whisper's family: windows of 2 s, the words a, b and c, two languages.
// Times are the tokens from 10 on.
const (
	madeTokenizer = `{"version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": [
 {"id": 3, "content": "<|endoftext|>", "special": true}, {"id": 4, "content": "<|startoftranscript|>", "special": true},
 {"id": 5, "content": "<|en|>", "special": true}, {"id": 6, "content": "<|de|>", "special": true},
 {"id": 7, "content": "<|transcribe|>", "special": true}, {"id": 8, "content": "<|nospeech|>", "special": true},
 {"id": 9, "content": "<|notimestamps|>", "special": true}],
 "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2}, "unk_token": "a"}}`
	madeGeneration = `{"suppress_tokens": [2], "is_multilingual": false, "more": {"of": ["it"]}}`
	madeLanguages  = `{"suppress_tokens": [2], "is_multilingual": true, "lang_to_id": {"<|de|>": 6, "<|en|>": 5}, "max_initial_timestamp_index": 100}`
	madeFrames     = 200
	madeClasses    = 10 + madeFrames/2 + 1
	madeTime       = 10
)

const transcribeFiles = "encoder: e.onnx, decoder: d.onnx, tokenizer: t.json, generation: g.json"

func transcribeDoc(more string) string { return "transcribe: {" + transcribeFiles + more + "}\n" }

// madeModels are as whisper.py writes them, or as optimum does.
func madeModels(merged bool) map[string]Model {
	e := Model{Inputs: []onnx.ValueInfo{value("input_features", tensor.Float32, 1, 4, madeFrames)}}
	d := Model{
		Inputs:  []onnx.ValueInfo{value("input_ids", tensor.Int64, 1, 1), value("past_key_values.0.decoder.key", tensor.Float32, 1, 2, -1, 3), value("past_key_values.0.encoder.key", tensor.Float32, 1, 2, 100, 3)},
		Outputs: []onnx.ValueInfo{value("present.0.decoder.key", tensor.Float32, 1, 2, -1, 3), value("logits", tensor.Float32, 1, 1, madeClasses)},
	}
	heard := value("present.0.encoder.key", tensor.Float32, 1, 2, 100, 3)
	if !merged {
		e.Outputs = []onnx.ValueInfo{heard}
		return map[string]Model{"e.onnx": e, "d.onnx": d}
	}
	e.Outputs = []onnx.ValueInfo{value("last_hidden_state", tensor.Float32, -1, 100, 6)}
	d.Inputs = append(d.Inputs, value("encoder_hidden_states", tensor.Float32, -1, -1, 6), value("use_cache_branch", tensor.Bool, 1))
	d.Outputs = append(d.Outputs, heard)
	return map[string]Model{"e.onnx": e, "d.onnx": d}
}

func madeFiles() map[string][]byte {
	return map[string][]byte{"t.json": []byte(madeTokenizer), "g.json": []byte(madeGeneration)}
}

func madePipeline(t testing.TB, doc string, merged bool, generation string) *Pipeline {
	t.Helper()
	d, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	files := madeFiles()
	files["g.json"] = []byte(generation)
	p, err := New(t.Context(), d, madeModels(merged), files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// speaker says what it is told to, window by window, and checks what it is given.
type speaker struct {
	t       testing.TB
	merged  bool
	windows [][]int   // what it says in each
	likes   []float32 // scores behind the first token of each window, by token
	window  int
	given   []int64 // tokens of this window
	frames  []int   // frames of each window that are not silent
}

func (s *speaker) ask(_ context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	if model == "e.onnx" {
		s.window, s.given = s.window+1, nil
		x := tensor.Data[float32](in["input_features"])
		n := 0
		for n < madeFrames && x[n] != 0 {
			n++
		}
		s.frames = append(s.frames, n)
		if s.merged {
			return tensors{"last_hidden_state": filledWith(float32(s.window), 1, 100, 6)}, nil
		}
		return tensors{"present.0.encoder.key": filledWith(float32(s.window), 1, 2, 100, 3)}, nil
	}
	s.check(in)
	s.given = append(s.given, tensor.Data[int64](in["input_ids"])...)
	out := tensors{"logits": tensor.Of(s.scores(), 1, 1, madeClasses), "present.0.decoder.key": filledWith(float32(len(s.given)), 1, 2, int64(len(s.given)), 3)}
	if s.merged {
		out["present.0.encoder.key"] = filledWith(float32(s.window), 1, 2, 100, 3)
		if len(s.given) > 1 {
			out["present.0.encoder.key"] = filledWith(0, 1, 1, 1, 1) // as optimum's models give it
		}
	}
	return out, nil
}

// check looks at what the decoder remembers: a row for each token, and the window it is in.
func (s *speaker) check(in tensors) {
	s.t.Helper()
	n := len(s.given)
	past, heard := in["past_key_values.0.decoder.key"], in["past_key_values.0.encoder.key"]
	first := s.merged && n == 0
	if got := fmt.Sprint(heard.Shape); got != "[1 2 100 3]" {
		s.t.Fatalf("token %d: %s of what was heard", n, got)
	}
	if got, want := fmt.Sprint(past.Shape, in["input_ids"].Shape), fmt.Sprintf("[1 2 %d 3] [1 1]", n); got != want {
		s.t.Fatalf("token %d: %s, expected %s", n, got, want)
	}
	if n > 0 && tensor.Data[float32](past)[0] != float32(n) || !first && tensor.Data[float32](heard)[0] != float32(s.window) {
		s.t.Fatalf("token %d of window %d: what the decoder remembers is not of it", n, s.window)
	}
	if s.merged && (tensor.Data[bool](in["use_cache_branch"])[0] == first || tensor.Data[float32](in["encoder_hidden_states"])[0] != float32(s.window)) {
		s.t.Fatalf("token %d of window %d: %v", n, s.window, in)
	}
}

func (s *speaker) scores() []float32 {
	scores := make([]float32, madeClasses)
	begins := 1
	if s.given[len(s.given)-1] == 7 { // a model of languages, and the token of the task
		begins = len(s.given)
	} else if i := slices.Index(s.given, 7); i >= 0 {
		begins = i + 1
	}
	if len(s.given) == 1 {
		copy(scores, s.likes)
	}
	if at := len(s.given) - begins; s.window <= len(s.windows) && at < len(s.windows[s.window-1]) {
		scores[s.windows[s.window-1][at]] += 20
	} else {
		scores[3] += 20
	}
	return scores
}

func filledWith(v float32, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return tensor.Of(slices.Repeat([]float32{v}, int(n)), shape...)
}

// hum is a recording of so many seconds in which there is something to be heard.
func hum(seconds float64) map[string]*tensor.Tensor {
	data := make([]byte, 2*int(seconds*mel.Rate))
	for i := 0; i+1 < len(data); i += 2 {
		data[i+1] = byte(i / 2 % 80)
	}
	return audio(wav16(data))
}

// TestTranscribeWindows goes on where the last complete stretch ended, to the end of the recording.
func TestTranscribeWindows(t *testing.T) {
	const T = madeTime
	for _, merged := range []bool{false, true} {
		p := madePipeline(t, transcribeDoc(""), merged, madeGeneration)
		s := &speaker{t: t, merged: merged, windows: [][]int{
			{T, 0, 1, T + 50, T + 50, 1},           // a stretch of a second, and another one that goes on
			{T, 1, T + 30},                         // from there on: 0.6 s, and nothing behind it
			{},                                     // nothing
			{T + 10, 0, T + 20, T + 25, 1, T + 90}, // the recording ends before that
		}}
		out, err := p.Run(t.Context(), hum(5.5), s.ask)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(tensor.Data[string](out["text"]), tensor.Data[string](out["language"]), tensor.Data[string](out["segment"]), tensor.Data[float32](out["start"]), tensor.Data[float32](out["end"]), s.frames)
		if want := "[a bbab] [en] [a b b a b] [0 1 5.2 5.5] [1 1.6 5.4 5.5] [200 200 200 50]"; got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

// TestTranscribeLanguages: a model of several is told which, or is asked.
func TestTranscribeLanguages(t *testing.T) {
	for _, c := range []struct {
		more  string
		likes []float32
		want  string
	}{
		{"", []float32{5: 1, 6: 3}, "de [4 6 7"},
		{"", []float32{5: 3, 6: 1}, "en [4 5 7"},
		{"", nil, "en [4 5 7"},
		{", language: de", []float32{5: 3}, "de [4 6 7"},
	} {
		s := &speaker{t: t, windows: [][]int{{madeTime, 0, madeTime + 9}}, likes: c.likes}
		out, err := madePipeline(t, transcribeDoc(c.more), false, madeLanguages).Run(t.Context(), hum(2), s.ask)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(tensor.Data[string](out["language"])[0], " ", s.given); !strings.HasPrefix(got, c.want) || out["segment"].Len() != 1 {
			t.Errorf("%q: %s, expected %s", c.more, got, c.want)
		}
	}
	// The language of the first window is that of the others.
	s := &speaker{t: t, windows: [][]int{{madeTime, 0, madeTime + 9}}, likes: []float32{6: 1}}
	turn := func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		if s.window == 2 {
			s.likes = []float32{5: 9}
		}
		return s.ask(ctx, model, in)
	}
	if out, err := madePipeline(t, transcribeDoc(""), false, madeLanguages).Run(t.Context(), hum(4), turn); err != nil || s.given[1] != 6 || tensor.Data[string](out["language"])[0] != "de" {
		t.Errorf("%v, %v, %v", out, s.given, err)
	}
}

// TestTranscribeSilence: where the model takes nobody to speak and is not sure of what it said,
// nobody spoke.
func TestTranscribeSilence(t *testing.T) {
	unsure := func(s *speaker) Ask {
		return func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			out, err := s.ask(ctx, model, in)
			if logits := out["logits"]; logits != nil && len(s.given) > 1 {
				for i, v := range tensor.Data[float32](logits) {
					tensor.Data[float32](logits)[i] = v / 10
				}
			}
			return out, err
		}
	}
	for _, c := range []struct {
		more   string
		silent float32
		unsure bool
		heard  int64
	}{
		{"", 40, true, 0},
		{"", 40, false, 1},
		{"", 0, true, 1},
		{", silence: 1", 40, true, 1},
	} {
		s := &speaker{t: t, windows: [][]int{{madeTime, 0, madeTime + 9}}, likes: []float32{8: c.silent}}
		ask := Ask(s.ask)
		if c.unsure {
			ask = unsure(s)
		}
		out, err := madePipeline(t, transcribeDoc(c.more), false, madeGeneration).Run(t.Context(), hum(2), ask)
		if err != nil || out["segment"].Len() != int(c.heard) {
			t.Errorf("%+v: %v, %v", c, out, err)
		}
	}
}

// TestTranscribeBounds: a window has as many tokens as the document says, and the recording as many
// windows as it is long.
func TestTranscribeBounds(t *testing.T) {
	chatter := &speaker{t: t}
	for range 2 {
		chatter.windows = append(chatter.windows, append([]int{madeTime}, make([]int, 300)...))
	}
	p := madePipeline(t, transcribeDoc(", tokens: 7"), false, madeGeneration)
	out, err := p.Run(t.Context(), hum(4), chatter.ask)
	if err != nil || len(chatter.given) != 7 || chatter.window != 2 || out["segment"].Len() != 2 {
		t.Errorf("%d tokens, %d windows, %v, %v", len(chatter.given), chatter.window, out, err)
	}
	for _, seconds := range []float64{0.001, 0.009, 0.01} {
		s := &speaker{t: t}
		if out, err := p.Run(t.Context(), hum(seconds), s.ask); err != nil || out["text"].Len() != 1 || out["end"].Check() != nil || s.window != int(seconds*100) {
			t.Errorf("%g s: %v, %v, %d windows", seconds, out, err, s.window)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, hum(1), (&speaker{t: t}).ask); err != context.Canceled {
		t.Errorf("a run that is over: %v", err)
	}
}

// TestTranscribeNeeds: the samples, their spectrogram, a window, and what the decoder remembers.
func TestTranscribeNeeds(t *testing.T) {
	const samples, frames, bands = 5 * mel.Rate, 500, 4
	state := int64(2 * 3 * 4)
	for merged, more := range map[bool]int64{false: 0, true: 4*6*madeFrames + state*madeFrames} {
		p := madePipeline(t, transcribeDoc(", tokens: 8"), merged, madeGeneration)
		want := 4*samples + 4*bands*(frames+4) + 4*madeFrames*bands + state*madeFrames + state*2*10 + more
		if got := p.Needs(hum(5)); got != want {
			t.Errorf("%d bytes, expected %d", got, want)
		}
	}
	if got := madePipeline(t, transcribeDoc(""), false, madeGeneration).Needs(audio("no sound")); got != 0 {
		t.Errorf("%d bytes for nothing", got)
	}
}

// TestTranscribeTry asks for the first token and for the last.
func TestTranscribeTry(t *testing.T) {
	p := madePipeline(t, transcribeDoc(", tokens: 8"), true, madeGeneration)
	var rows []int64
	s := &speaker{t: t, merged: true}
	ask := func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		past := in["past_key_values.0.decoder.key"]
		if past == nil {
			return s.ask(ctx, model, in)
		}
		rows = append(rows, past.Shape[2])
		out := tensors{"logits": filledWith(0, 1, 1, madeClasses), "present.0.decoder.key": filledWith(0, 1, 2, past.Shape[2]+1, 3), "present.0.encoder.key": filledWith(0, 1, 2, 100, 3)}
		return out, nil
	}
	if err := p.Try(t.Context(), ask); err != nil || fmt.Sprint(rows) != "[0 9]" {
		t.Errorf("%v, %v", rows, err)
	}
	broken := errors.New("broken")
	err := p.Try(t.Context(), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		if past := in["past_key_values.0.decoder.key"]; past != nil && past.Shape[2] == 9 {
			return nil, broken
		}
		return ask(ctx, model, in)
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "8 tokens for a window of 200 frames") {
		t.Error(err)
	}
}

// TestTranscribeBroken: a model that breaks its word gives no answer, and it is nobody's input
// that is wrong.
func TestTranscribeBroken(t *testing.T) {
	for name, edit := range map[string]func(encoder bool, out tensors){
		"no scores": func(_ bool, out tensors) { delete(out, "logits") },
		"whole scores": func(e bool, out tensors) {
			put(!e, out, "logits", tensor.Of(make([]int64, madeClasses), 1, 1, madeClasses))
		},
		"few scores":      func(e bool, out tensors) { put(!e, out, "logits", filledWith(0, 1, 1, madeClasses-1)) },
		"scores of two":   func(e bool, out tensors) { put(!e, out, "logits", filledWith(0, 1, 2, madeClasses)) },
		"broken scores":   func(e bool, out tensors) { put(!e, out, "logits", tensor.Of([]float32{1}, 1, 1, madeClasses)) },
		"no state":        func(e bool, out tensors) { delete(out, "present.0.decoder.key") },
		"a long state":    func(e bool, out tensors) { put(!e, out, "present.0.decoder.key", filledWith(0, 1, 2, 9, 3)) },
		"a wide state":    func(e bool, out tensors) { put(!e, out, "present.0.decoder.key", filledWith(0, 1, 2, 1, 4)) },
		"nothing heard":   func(e bool, out tensors) { delete(out, "present.0.encoder.key"); delete(out, "last_hidden_state") },
		"much heard":      func(_ bool, out tensors) { swap(out, filledWith(0, 1, 2, 201, 3), filledWith(0, 1, 201, 6)) },
		"otherwise heard": func(_ bool, out tensors) { swap(out, filledWith(0, 1, 2, 100, 2), filledWith(0, 1, 100, 5)) },
	} {
		for _, merged := range []bool{false, true} {
			s := &speaker{t: t, merged: merged}
			_, err := madePipeline(t, transcribeDoc(""), merged, madeGeneration).Run(t.Context(), hum(1), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
				out, err := s.ask(ctx, model, in)
				edit(model == "e.onnx", out)
				return out, err
			})
			var wrong *InputError
			if err == nil || errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), "pipeline: ") {
				t.Errorf("%s (%t): %v", name, merged, err)
			}
		}
	}
}

func put(when bool, out tensors, name string, t *tensor.Tensor) {
	if when {
		out[name] = t
	}
}

// swap replaces what was heard, in the one form or the other.
func swap(out tensors, state, hidden *tensor.Tensor) {
	for name, t := range map[string]*tensor.Tensor{"present.0.encoder.key": state, "last_hidden_state": hidden} {
		if out[name] != nil {
			out[name] = t
		}
	}
}

func TestTranscribeDocuments(t *testing.T) {
	for doc, want := range map[string]string{
		"transcribe: {encoder: e.onnx}":     "decoder",
		transcribeDoc(", tokens: 0"):        "1 to 440",
		transcribeDoc(", tokens: 441"):      "1 to 440",
		transcribeDoc(", silence: 1.1"):     "0 to 1",
		transcribeDoc(`, language: ""`):     "a language such as en",
		transcribeDoc(", beam: 5"):          "beam",
		transcribeDoc("") + "model: m.onnx": "more than one pipeline",
		"transcribe: {encoder: e.bin, decoder: d.onnx, tokenizer: t.json, generation: g.json}":  "ends in .onnx",
		"transcribe: {encoder: e.onnx, decoder: d.onnx, tokenizer: t.onnx, generation: g.json}": "is no model",
	} {
		if _, err := Parse([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", doc, err, want)
		}
	}
}

// TestTranscribeFits refuses what does not fit together.
func TestTranscribeFits(t *testing.T) {
	type set struct {
		e, d  Model
		files map[string][]byte
	}
	file := func(name, from, to string) func(*set) {
		return func(s *set) {
			s.files[name] = []byte(strings.Replace(string(s.files[name]), from, to, 1))
		}
	}
	generation := func(text string) func(*set) { return func(s *set) { s.files["g.json"] = []byte(text) } }
	for name, c := range map[string]struct {
		edit func(s *set)
		more string
		want string
	}{
		"two inputs":    {func(s *set) { s.e.Inputs = append(s.e.Inputs, s.e.Inputs[0]) }, "", "one input, a spectrogram"},
		"samples":       {func(s *set) { s.e.Inputs[0].Shape = []int64{1, -1} }, "", "float32[1 bands frames]"},
		"no bands":      {func(s *set) { s.e.Inputs[0].Shape = []int64{1, -1, 3000} }, "", "float32[1 bands frames]"},
		"many bands":    {func(s *set) { s.e.Inputs[0].Shape = []int64{1, 257, 3000} }, "", "up to 256 bands"},
		"long windows":  {func(s *set) { s.e.Inputs[0].Shape = []int64{1, 80, 3002} }, "", "3000 frames"},
		"odd windows":   {func(s *set) { s.e.Inputs[0].Shape = []int64{1, 80, 2999} }, "", "an even number"},
		"open windows":  {func(s *set) { s.e.Inputs[0].Shape = []int64{1, 80, -1} }, "", "an even number"},
		"batches":       {func(s *set) { s.e.Inputs[0].Shape = []int64{2, 80, 3000} }, "", "float32[1 bands frames]"},
		"half":          {func(s *set) { s.e.Inputs[0].Type = tensor.Float16 }, "", "float32[1 bands frames]"},
		"another input": {func(s *set) { s.d.Inputs = append(s.d.Inputs, value("attention_mask", tensor.Int64, 1, -1)) }, "", "attention_mask"},
		"no tokens":     {func(s *set) { s.d.Inputs = s.d.Inputs[1:] }, "", "input_ids, and"},
		"two tokens":    {func(s *set) { s.d.Inputs[0].Shape = []int64{1, 2} }, "", "input_ids int64[1 2]"},
		"no memory":     {func(s *set) { s.d.Inputs = s.d.Inputs[:1] }, "", "what it has said so far"},
		"open heads":    {func(s *set) { s.d.Inputs[1].Shape = []int64{1, -1, -1, 3} }, "", "as many heads"},
		"huge heads":    {func(s *set) { s.d.Inputs[1].Shape = []int64{1, 1 << 40, -1, 1 << 40} }, "", "as many heads"},
		"wide heads":    {func(s *set) { s.d.Inputs[1].Shape = []int64{1, 128, -1, 129} }, "", "as many heads"},
		"many memories": {func(s *set) { s.d.Inputs = append(s.d.Inputs, slices.Repeat(s.d.Inputs[1:2], 511)...) }, "", "up to 512"},
		"never made":    {func(s *set) { s.d.Outputs = s.d.Outputs[1:] }, "", "an output present.0.decoder.key"},
		"hidden": {func(s *set) {
			s.d.Inputs = append(s.d.Inputs, value("encoder_hidden_states", tensor.Float32, 1, -1, 6))
		}, "", "an output of the encoder"},
		"open hidden": {func(s *set) {
			s.d.Inputs = append(s.d.Inputs, value("encoder_hidden_states", tensor.Float32, 1, -1, -1))
			s.e.Outputs = append(s.e.Outputs, value("h", tensor.Float32, 1, 100, -1))
		}, "", "an output of the encoder"},
		"no scores":      {func(s *set) { s.d.Outputs = s.d.Outputs[:1] }, "", "logits float32"},
		"open scores":    {func(s *set) { s.d.Outputs[1].Shape[2] = -1 }, "", "logits float32"},
		"many scores":    {func(s *set) { s.d.Outputs[1].Shape[2] = 1<<20 + 1 }, "", "of up to 1048576 tokens"},
		"no tokenizer":   {func(s *set) { s.files["t.json"] = []byte("{}") }, "", "t.json"},
		"no begin":       {file("t.json", "<|startoftranscript|>", "<|sot|>"), "", "without the token <|startoftranscript|>"},
		"no times":       {file("t.json", "<|notimestamps|>", "<|no|>"), "", "without the token <|notimestamps|>"},
		"times outside":  {func(s *set) { s.d.Outputs[1].Shape[2] = 110 }, "", "101 of them"},
		"tokens outside": {func(s *set) { s.d.Outputs[1].Shape[2] = 9 }, "", "9 tokens"},
		"no generation":  {generation("[]"), "", "not a JSON object"},
		"much":           {generation("{}" + strings.Repeat(" ", 1<<20)), "", "1048578 bytes, expected at most 1048576"},
		"outside":        {generation(`{"suppress_tokens": [111]}`), "", "the token 111"},
		"negative":       {generation(`{"suppress_tokens": [-1]}`), "", "the token -1"},
		"late begin":     {generation(`{"max_initial_timestamp_index": -1}`), "", "max_initial_timestamp_index -1"},
		"odd language":   {generation(`{"lang_to_id": {"en": 5}}`), "", "such as <|en|>"},
		"language 1000":  {generation(`{"lang_to_id": {"<|en|>": 1000}}`), "", "one of 111 tokens"},
		"no languages":   {generation(`{"is_multilingual": true}`), "", "lang_to_id"},
		"English alone":  {func(*set) {}, ", language: de", "for en alone"},
		"not French":     {generation(madeLanguages), ", language: fr", "one of the 2 languages of the model, such as en"},
	} {
		d, err := Parse([]byte(transcribeDoc(c.more)))
		if err != nil {
			t.Fatal(err)
		}
		models := madeModels(false)
		s := &set{models["e.onnx"], models["d.onnx"], madeFiles()}
		c.edit(s)
		if _, err := New(t.Context(), d, map[string]Model{"e.onnx": s.e, "d.onnx": s.d}, s.files, nil); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "pipeline.yaml: 1:") {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

// TestTranscribeRefusals: what callers send.
func TestTranscribeRefusals(t *testing.T) {
	p := madePipeline(t, transcribeDoc(""), false, madeGeneration)
	var wrong *InputError
	for name, in := range map[string]map[string]*tensor.Tensor{
		"no sound":       audio("hello"),
		"two recordings": audio(wav16([]byte{0, 0}), wav16([]byte{0, 0})),
	} {
		if _, err := p.Run(t.Context(), in, (&speaker{t: t}).ask); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzTranscribe: whatever a model says, there is an answer whose times go forward, or an error.
func FuzzTranscribe(f *testing.F) {
	f.Add([]byte{0, 10, 200, 30, 255, 3}, uint8(3), uint16(300))
	f.Add([]byte("some text of a fuzzer"), uint8(100), uint16(700))
	f.Fuzz(func(t *testing.T, said []byte, tokens uint8, hundredths uint16) {
		p := madePipeline(t, transcribeDoc(fmt.Sprintf(", tokens: %d", 1+tokens%20)), false, madeLanguages)
		at, window := 0, 0
		model := &speaker{t: t}
		ask := func(ctx context.Context, name string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			if name == "e.onnx" {
				if window++; window > 20 {
					return nil, context.DeadlineExceeded
				}
			}
			out, err := model.ask(ctx, name, in)
			if logits := out["logits"]; logits != nil && len(said) > 0 {
				for i := range tensor.Data[float32](logits) {
					at++
					tensor.Data[float32](logits)[i] = float32(int8(said[at%len(said)])) / 8
				}
			}
			return out, err
		}
		out, err := p.Run(t.Context(), hum(float64(hundredths%1000)/100), ask)
		if err != nil {
			return
		}
		end := float32(0)
		for i, start := range tensor.Data[float32](out["start"]) {
			if start < end {
				t.Fatalf("%v %v", tensor.Data[float32](out["start"]), tensor.Data[float32](out["end"]))
			}
			end = tensor.Data[float32](out["end"])[i]
		}
	})
}
