package tokenize

import (
	"encoding/json"
	"fmt"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// jsonDepth is how far arrays and objects may be inside each other.
const jsonDepth = 32

// part is the text of a part of the file whose members depend on its type.
type part struct {
	text []byte
	lim  strictjson.Limits // of who read it
}

// ReadStrictJSON keeps the text.
func (p *part) ReadStrictJSON(r *strictjson.Reader) (err error) {
	p.lim = r.Limits()
	p.text, err = r.Skip()
	return err
}

func (p part) absent() bool { return len(p.text) == 0 || string(p.text) == "null" }

// kind returns the type of a part.
func (p part) kind() (string, error) {
	var head struct {
		Type string `json:"type"`
	}
	err := strictjson.Decode(p.text, &head, strictjson.Options{Limits: p.limits(), AllowUnknown: true})
	return head.Type, err
}

// read fills out, which must name every member that the part has.
func (p part) read(out any) error {
	return strictjson.Decode(p.text, out, strictjson.Options{Limits: p.limits()})
}

func (p part) limits() strictjson.Limits {
	p.lim.Bytes = max(1, len(p.text))
	return p.lim
}

// file is tokenizer.json.
type file struct {
	Version       string      `json:"version"`
	Truncation    *truncation `json:"truncation"`
	Padding       *padding    `json:"padding"`
	AddedTokens   addedList   `json:"added_tokens"`
	Normalizer    part        `json:"normalizer"`
	PreTokenizer  part        `json:"pre_tokenizer"`
	PostProcessor part        `json:"post_processor"`
	Decoder       part        `json:"decoder"`
	Model         part        `json:"model"`
}

func readFile(text []byte, lim *reading) (*file, error) {
	if len(text) > lim.FileBytes {
		return nil, fmt.Errorf("tokenize: file of %d bytes, the limit is %d: %w", len(text), lim.FileBytes, ErrLimit)
	}
	if err := lim.begin(text); err != nil {
		return nil, err
	}
	f := &file{AddedTokens: addedList{in: lim}}
	err := strictjson.Decode(text, f, strictjson.Options{Limits: strictjson.Limits{Bytes: max(1, len(text)), Depth: jsonDepth, Members: lim.members(), Stop: lim.stop}})
	if gone := lim.stop(); gone != nil {
		return nil, gone
	}
	if err != nil {
		return nil, fmt.Errorf("tokenize: not a tokenizer.json that is understood: %w", err)
	}
	if f.Version != "1.0" {
		return nil, fmt.Errorf("tokenize: version %q of the file, expected \"1.0\"", f.Version)
	}
	return f, nil
}

// pairOf reads an array of two elements.
func pairOf(r *strictjson.Reader, first, second func() error) error {
	n := 0
	err := r.Array(func() error {
		switch n++; n {
		case 1:
			return first()
		case 2:
			return second()
		}
		return fmt.Errorf("tokenize: a pair has more than two elements")
	})
	if err == nil && n != 2 {
		return fmt.Errorf("tokenize: a pair has %d elements", n)
	}
	return err
}

// named is a token beside its id, as ["</s>", 2].
type named struct {
	text string
	id   uint32
}

// ReadStrictJSON reads the pair.
func (n *named) ReadStrictJSON(r *strictjson.Reader) error {
	return pairOf(r, func() (err error) {
		n.text, err = r.String()
		return err
	}, func() error {
		id, err := r.Uint(32)
		n.id = uint32(id)
		return err
	})
}

// character is a string of one character.
type character rune

// ReadStrictJSON reads the string.
func (c *character) ReadStrictJSON(r *strictjson.Reader) error {
	s, err := r.String()
	if err != nil {
		return err
	}
	if rs := []rune(s); len(s) <= 4 && len(rs) == 1 {
		*c = character(rs[0])
		return nil
	}
	return fmt.Errorf("tokenize: %.20q, must be one character", s)
}

// expression is {"String": "..."} or {"Regex": "..."}.
type expression struct {
	String *string
	Regex  *string
}

// finder returns what finds the expression, within the limits.
func (e expression) finder(lim *reading) (finder, error) {
	switch {
	case (e.String == nil) == (e.Regex == nil):
		return nil, fmt.Errorf("tokenize: a pattern must have one of String and Regex")
	case e.Regex == nil:
		if err := lim.piece("pattern", *e.String); err != nil {
			return nil, err
		}
		if *e.String == "" {
			return nil, fmt.Errorf("tokenize: an empty string as a pattern is not supported")
		}
		return literal(*e.String), nil
	}
	if err := lim.piece("pattern", *e.Regex); err != nil {
		return nil, err
	}
	return lim.compile(*e.Regex)
}

// piece checks the length of a string of the file.
func (l Limits) piece(what, s string) error {
	if len(s) > l.PieceBytes {
		return fmt.Errorf("tokenize: %s of %d bytes, the limit is %d: %w", what, len(s), l.PieceBytes, ErrLimit)
	}
	return nil
}

func unsupported(what, kind string) error {
	name, _ := json.Marshal(kind)
	return fmt.Errorf("tokenize: %s of type %.60s is not supported", what, name)
}
