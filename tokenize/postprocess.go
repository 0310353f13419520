package tokenize

import (
	"fmt"
)

// processor puts special tokens around the tokens of the texts.
type processor struct {
	single, pair []slot
	trim         *trimming // what the offsets leave out, or nil
}

// slot is a text or special tokens.
type slot struct {
	text   int // 0 or 1, or none for special tokens
	ids    []int32
	typeID int64
}

// trimming leaves spaces out of offsets.
type trimming struct{ space bool }

// asIs is what becomes of texts without a post-processor.
func asIs() *processor {
	a, b := slot{text: 0}, slot{text: 1, typeID: 1}
	return &processor{single: []slot{a}, pair: []slot{a, b}}
}

func readPostProcessor(p part) (*processor, error) {
	all := asIs()
	if p.absent() {
		return all, nil
	}
	if len(p.text) > maxTemplates {
		return nil, fmt.Errorf("tokenize: post_processor of %d bytes, the limit is %d: %w", len(p.text), maxTemplates, ErrLimit)
	}
	return all, all.read(p, new(int), 0)
}

// read adds a part. At most one that adds tokens may be there.
func (all *processor) read(p part, adding *int, depth int) error {
	kind, err := p.kind()
	if err != nil {
		return err
	}
	if depth > jsonDepth {
		return fmt.Errorf("tokenize: post-processors too deep inside each other")
	}
	var one *processor
	switch kind {
	case "Sequence":
		return all.readSequence(p, adding, depth)
	case "ByteLevel":
		return all.readTrim(p)
	case "TemplateProcessing":
		one, err = readTemplate(p)
	case "BertProcessing":
		one, err = readBertProcessing(p)
	case "RobertaProcessing":
		one, err = all.readRoberta(p)
	default:
		return unsupported("post_processor", kind)
	}
	if err != nil {
		return err
	}
	if *adding++; *adding > 1 {
		return fmt.Errorf("tokenize: more than one post-processor that adds tokens is not supported")
	}
	all.single, all.pair = one.single, one.pair
	return nil
}

func (all *processor) readSequence(p part, adding *int, depth int) error {
	var f struct {
		Type       string `json:"type"`
		Processors parts  `json:"processors"`
	}
	if err := p.read(&f); err != nil {
		return err
	}
	for _, p := range f.Processors {
		if err := all.read(p, adding, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (all *processor) readTrim(p part) error {
	var f struct {
		Type  string `json:"type"`
		Space bool   `json:"add_prefix_space"`
		Trim  bool   `json:"trim_offsets"`
		Regex *bool  `json:"use_regex"`
	}
	err := p.read(&f)
	if f.Trim {
		all.trim = &trimming{f.Space}
	}
	return err
}

func readBertProcessing(p part) (*processor, error) {
	var f struct {
		Type string `json:"type"`
		Sep  named  `json:"sep"`
		Cls  named  `json:"cls"`
	}
	err := p.read(&f)
	cls, sep := special(f.Cls, 0), special(f.Sep, 0)
	return &processor{
		single: []slot{cls, {text: 0}, sep},
		pair:   []slot{cls, {text: 0}, sep, {text: 1, typeID: 1}, special(f.Sep, 1)},
	}, err
}

func (all *processor) readRoberta(p part) (*processor, error) {
	var f struct {
		Type  string `json:"type"`
		Sep   named  `json:"sep"`
		Cls   named  `json:"cls"`
		Trim  bool   `json:"trim_offsets"`
		Space bool   `json:"add_prefix_space"`
	}
	err := p.read(&f)
	if f.Trim {
		all.trim = &trimming{f.Space}
	}
	cls, sep := special(f.Cls, 0), special(f.Sep, 0)
	return &processor{
		single: []slot{cls, {text: 0}, sep},
		pair:   []slot{cls, {text: 0}, sep, sep, {text: 1}, sep},
	}, err
}

func special(n named, typeID int64) slot {
	return slot{text: none, ids: []int32{int32(n.id & (1<<31 - 1))}, typeID: typeID}
}

// template is a processor as the file writes it.
type template struct {
	Type    string                   `json:"type"`
	Single  []templateSlot           `json:"single"`
	Pair    []templateSlot           `json:"pair"`
	Special map[string]templateToken `json:"special_tokens"`
}

// templateSlot is {"Sequence": {"id": "A", "type_id": 0}} or {"SpecialToken": ...}.
type templateSlot struct {
	Sequence     *templateRef
	SpecialToken *templateRef
}

type templateRef struct {
	ID     string `json:"id"`
	TypeID uint32 `json:"type_id"`
}

type templateToken struct {
	ID     string   `json:"id"`
	IDs    []uint32 `json:"ids"`
	Tokens []string `json:"tokens"`
}

func readTemplate(p part) (*processor, error) {
	var f template
	if err := p.read(&f); err != nil {
		return nil, err
	}
	single, err := f.slots(f.Single, 1)
	if err != nil {
		return nil, err
	}
	pair, err := f.slots(f.Pair, 2)
	return &processor{single: single, pair: pair}, err
}

// maxSlots bounds how often a template can repeat a text.
const maxSlots = 32

func (f *template) slots(from []templateSlot, texts int) (out []slot, err error) {
	if len(from) > maxSlots {
		return nil, fmt.Errorf("tokenize: template of %d parts, the limit is %d: %w", len(from), maxSlots, ErrLimit)
	}
	used := map[int]bool{}
	for _, s := range from {
		switch {
		case (s.Sequence == nil) == (s.SpecialToken == nil):
			return nil, fmt.Errorf("tokenize: a part of a template must be one of Sequence and SpecialToken")
		case s.Sequence != nil:
			i := map[string]int{"A": 0, "B": 1}[s.Sequence.ID]
			if s.Sequence.ID != "A" && s.Sequence.ID != "B" || i >= texts || used[i] {
				return nil, fmt.Errorf("tokenize: sequence %.20q of a template, must be one of %d, once", s.Sequence.ID, texts)
			}
			used[i] = true
			out = append(out, slot{text: i, typeID: int64(s.Sequence.TypeID)})
		default:
			t, ok := f.Special[s.SpecialToken.ID]
			if !ok || len(t.IDs) > maxSlots {
				return nil, fmt.Errorf("tokenize: special token %.60q of a template is not there, or has more than %d ids", s.SpecialToken.ID, maxSlots)
			}
			ids := make([]int32, len(t.IDs))
			for i, id := range t.IDs {
				ids[i] = int32(id & (1<<31 - 1))
			}
			out = append(out, slot{text: none, ids: ids, typeID: int64(s.SpecialToken.TypeID)})
		}
	}
	return out, nil
}

// slots are those for one text or two.
func (p *processor) slots(pair bool) []slot {
	if pair {
		return p.pair
	}
	return p.single
}

// special is how many tokens are added.
func (p *processor) special(pair bool) (n int) {
	for _, s := range p.slots(pair) {
		n += len(s.ids)
	}
	return n
}

// apply puts the texts and the special tokens together.
func (p *processor) apply(texts []*encoded, bare, offsets bool) Encoding {
	size := p.special(len(texts) == 2)
	for _, t := range texts {
		size += len(t.ids)
	}
	e := Encoding{IDs: make([]int64, 0, size), TypeIDs: make([]int64, 0, size), AttentionMask: make([]int64, 0, size), Special: make([]bool, 0, size)}
	if offsets {
		e.Offsets = make([]Span, 0, size)
	}
	for _, s := range p.slots(len(texts) == 2) {
		ids, spans := s.ids, make([]Span, 0)
		if s.text != none {
			ids, spans = texts[s.text].ids, texts[s.text].spans
		} else if bare {
			continue
		}
		for i, id := range ids {
			e.add(int64(id), s.typeID, 1, s.text == none)
			if offsets && s.text != none {
				e.Offsets = append(e.Offsets, spans[i])
			} else if offsets {
				e.Offsets = append(e.Offsets, Span{})
			}
		}
	}
	return e
}
