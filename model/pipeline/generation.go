package pipeline

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// generation is what generation_config.json says of a model of Whisper's family, as transformers
// writes it, as far as it matters here.
type generation struct {
	Suppress  []int          `json:"suppress_tokens"`
	Many      bool           `json:"is_multilingual"`
	Initial   *int           `json:"max_initial_timestamp_index"`
	Languages map[string]int `json:"lang_to_id"`
}

// language is one that a model knows.
type language struct {
	code  string // such as en
	token int64
}

// maxGeneration is how many bytes the file may have: that of a published model has some
// thousand, and lists and maps take many times their text.
const maxGeneration = 1 << 20

// readGeneration reads the file of a model with so many tokens.
func readGeneration(file []byte, tokens int) (*generation, error) {
	if len(file) > maxGeneration {
		return nil, fmt.Errorf("%d bytes, expected at most %d", len(file), maxGeneration)
	}
	g := new(generation)
	if err := json.Unmarshal(file, g); err != nil {
		return nil, errors.New("not a JSON object of the kind that transformers writes")
	}
	outside := func(id int) bool { return id < 0 || id >= tokens }
	if i := slices.IndexFunc(g.Suppress, outside); i >= 0 {
		return nil, fmt.Errorf("the token %d in suppress_tokens, the model has %d", g.Suppress[i], tokens)
	}
	for name, id := range g.Languages {
		if outside(id) || !strings.HasPrefix(name, "<|") || !strings.HasSuffix(name, "|>") || len(name) > 64 {
			return nil, fmt.Errorf("the language %.40q with the token %d, expected such as <|en|> and one of %d tokens", name, id, tokens)
		}
	}
	if g.Initial == nil {
		second := 50 // what openai-whisper has
		g.Initial = &second
	}
	if *g.Initial < 0 {
		return nil, fmt.Errorf("max_initial_timestamp_index %d, expected a number of times", *g.Initial)
	}
	return g, nil
}

// languages are those of a model, in the order of their tokens.
func (g *generation) languages() (list []language) {
	for name, id := range g.Languages {
		list = append(list, language{name[2 : len(name)-2], int64(id)})
	}
	slices.SortFunc(list, func(a, b language) int {
		return cmp.Or(cmp.Compare(a.token, b.token), strings.Compare(a.code, b.code))
	})
	return list
}
