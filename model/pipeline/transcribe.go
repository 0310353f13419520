package pipeline

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/dictate"
)

// transcribeTask writes down what is said in a recording, with a model of Whisper's family: an
// encoder hears a window of it, and a decoder says one token after the other.
type transcribeTask struct {
	Pos        strictyaml.Pos
	Encoder    name    `yaml:"encoder,required"`
	Decoder    name    `yaml:"decoder,required"`
	Tokenizer  name    `yaml:"tokenizer,required"`
	Generation name    `yaml:"generation,required"`
	Language   word    `yaml:"language"`
	Silence    number  `yaml:"silence"`
	Tokens     integer `yaml:"tokens"`
}

// maxSaid is how many tokens a window may have: Whisper has positions for 448, for those that
// begin a transcript, too.
const maxSaid = 440

func (t *transcribeTask) check(c *checker) {
	c.model(t.Encoder, "transcribe.encoder")
	c.model(t.Decoder, "transcribe.decoder")
	c.file(t.Tokenizer, "transcribe.tokenizer")
	c.file(t.Generation, "transcribe.generation")
	or(&t.Silence, 0.6)
	or(&t.Tokens, 224)
	c.within(t.Silence, "transcribe.silence", 0, 1)
	c.between(t.Tokens, "transcribe.tokens", 1, maxSaid)
	if given(t.Language) && t.Language.Value == "" {
		c.refuse(t.Language.Pos, "transcribe.language", `""`, "a language such as en")
	}
}

func (t *transcribeTask) open(b *binder) (runner, error) {
	r := &transcriber{encoder: t.Encoder.Value, decoder: t.Decoder.Value, silence: float64(t.Silence.Value), most: t.Tokens.Value}
	o := transcribeOpener{doc: t, to: r, encoder: b.models[r.encoder], decoder: b.models[r.decoder]}
	for _, step := range []func() error{o.hears, o.remembers, o.scores, func() error { return o.tokens(b) }, func() error { return o.speaks(b) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// tokens finds out what the tokens of the model are, by those of its tokenizer.
func (o *transcribeOpener) tokens(b *binder) error {
	n := o.doc.Tokenizer
	tok, err := b.tokenizer(n, "transcribe.tokenizer")
	if err != nil {
		return err
	}
	r, ids := o.to, map[string]int{}
	for _, token := range []string{beginToken, endToken, notimesToken} {
		id, ok := tok.TokenID(token)
		if !ok || id >= int64(r.classes) {
			return misfit(n.Pos, "transcribe.tokenizer", fmt.Sprintf("%s without the token %s, or one that the model has none for", n.Value, token),
				fmt.Sprintf("the tokenizer of a model of Whisper's family with %d tokens", r.classes))
		}
		ids[token] = int(id)
	}
	times, most := ids[notimesToken]+1, r.frames/2
	if ids[endToken] >= times || times+most >= r.classes {
		return misfit(n.Pos, "transcribe.tokenizer", fmt.Sprintf("%d tokens of the model, times from %d on", r.classes, times),
			fmt.Sprintf("times after %s, and %d of them for a window", endToken, most+1))
	}
	r.tokenizer, r.prompt = tok, []int64{int64(ids[beginToken])}
	r.rules = dictate.Rules{Tokens: r.classes, End: ids[endToken], Times: times, Most: most, Nothing: -1, Never: make([]bool, times)}
	for i := r.rules.End + 1; i < times; i++ {
		r.rules.Never[i] = true // they stand before a transcript
	}
	for _, token := range []string{"<|nospeech|>", "<|nocaptions|>"} {
		if id, ok := tok.TokenID(token); ok && id < int64(r.classes) {
			r.rules.Nothing = int(id)
		}
	}
	return nil
}

// Tokens of Whisper's tokenizer. Times are the ids behind the last one.
const (
	beginToken   = "<|startoftranscript|>"
	endToken     = "<|endoftext|>"
	taskToken    = "<|transcribe|>"
	notimesToken = "<|notimestamps|>"
)

// speaks finds out what is never said, and how a transcript begins.
func (o *transcribeOpener) speaks(b *binder) error {
	n, r := o.doc.Generation, o.to
	g, err := readGeneration(b.files[n.Value], r.classes)
	if err != nil {
		return misfit(n.Pos, "transcribe.generation", n.Value+": "+err.Error(), "generation_config.json of a model of Whisper's family")
	}
	for _, id := range g.Suppress {
		if id < r.rules.Times && id != r.rules.End {
			r.rules.Never[id] = true
		}
	}
	r.rules.Initial = min(*g.Initial, r.rules.Most)
	if !g.Many {
		if given(o.doc.Language) && o.doc.Language.Value != english {
			return misfit(o.doc.Language.Pos, "transcribe.language", o.doc.Language.Value, "none: the model is for "+english+" alone")
		}
		r.language = english
		return nil
	}
	return o.languages(b, g)
}

// english is the language of models for one.
const english = "en"

// languages finds out how a model of many languages is told which is spoken, and what to do.
func (o *transcribeOpener) languages(b *binder, g *generation) error {
	r := o.to
	task, ok := r.tokenizer.TokenID(taskToken)
	if !ok || task >= int64(r.classes) || len(g.Languages) == 0 {
		return misfit(o.doc.Generation.Pos, "transcribe.generation", "is_multilingual without "+taskToken+" in the tokenizer or without lang_to_id", "both")
	}
	r.task, r.languages = task, g.languages()
	for _, l := range r.languages {
		b.hold(32 + int64(len(l.code)))
	}
	if want := o.doc.Language; given(want) {
		i := slices.IndexFunc(r.languages, func(l language) bool { return l.code == want.Value })
		if i < 0 {
			return misfit(want.Pos, "transcribe.language", want.Value, fmt.Sprintf("one of the %d languages of the model, such as %s", len(r.languages), r.languages[0].code))
		}
		r.languages = r.languages[i : i+1]
	}
	return nil
}
