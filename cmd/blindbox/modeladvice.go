package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

// What a box says of its models is for all clients alike. What to type next is the
// command's own to say, and stands here.

// fixOf is what to do about a refusal of the box, "" if its status does not tell.
func fixOf(said *models.Error) string {
	switch said.Status {
	case http.StatusUnauthorized:
		caller, _ := catalogue.ByCode(catalogue.CodeBoxCaller)
		return caller.Fix
	case http.StatusConflict:
		if said.Retry == 0 {
			return "`blindbox model ls` shows which models are pinned: `blindbox model unpin NAME` lets one go, `blindbox model rm NAME` takes it out."
		}
	case http.StatusForbidden:
		return "What you may do stands in the box's policy: `blindbox curl -s https://HOST/.well-known/blindbox/me` shows it. A model is changed by its owner alone."
	case http.StatusRequestEntityTooLarge:
		if strings.Contains(said.Message, "store.owner.bytes") {
			return "Send a smaller model, or have the operator publish a policy with a higher `store: {owner: {bytes: SIZE}}`."
		}
		return "Send less, such as a smaller picture, or have the operator publish a policy with a higher `limits: {request: SIZE}`."
	case http.StatusUnprocessableEntity:
		return "Mend the model: `blindbox model show FILE` reads it as a box does."
	case http.StatusInsufficientStorage:
		return "Take out a model of yours (`blindbox model rm NAME`), or have the operator publish a policy with a larger `store`."
	case http.StatusGatewayTimeout:
		return "Ask about less at a time, or have the operator publish a policy with a higher `limits: {time: DURATION}`."
	}
	if said.Retry > 0 {
		return fmt.Sprintf("Try again in %v.", said.Retry)
	}
	return ""
}

// otherModels is what to do about a name under which there is no model: which names there
// are, or which versions, for a caller that may know. seen is what the box says.
func otherModels(c *models.Client, seen string) string {
	ctx, end := context.WithTimeout(context.Background(), 5*time.Second)
	defer end()
	allowed, err := may(ctx, c)
	lists := slices.Contains(allowed, policy.List)
	var list []models.Model
	if lists {
		list, err = c.List(ctx)
	}
	switch {
	case err == nil && !lists:
		return "Ask the model's owner, or the operator, how it is called: the policy does not let you list models. One that another caller has brought is OWNER~NAME."
	case err != nil:
		return "Look at its name again. One that another caller has brought is OWNER~NAME."
	case len(list) == 0:
		return "There is no model that you may know of: bring one with `blindbox model push FILE`, or ask the operator for what you may do."
	}
	fix := nameOne(list, seen)
	if strings.Contains(seen, `"sha256:`) {
		fix += " An id is sha256: and 64 digits, as `blindbox model ls -o json` shows it."
	}
	return fix
}

// nameOne lists the versions of the name that was asked for, if it is there, or else the
// names that are.
func nameOne(list []models.Model, seen string) string {
	const most = 8
	names, versions := []string{}, []string{}
	for _, m := range list {
		name := oneLine(m.Name)
		if strings.Contains(seen, fmt.Sprintf("no model %q version", m.Name)) {
			versions = append(versions, oneLine(m.Version))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(versions) > 0 {
		return "Name a version that is there, or none for the newest: " + some(versions, most) + " (`blindbox model ls`)."
	}
	return "Name one that is there: " + some(names, most) + " (`blindbox model ls`). One that another caller has brought is OWNER~NAME."
}

// some lists so many words at most.
func some(words []string, most int) string {
	if len(words) > most {
		words = append(slices.Clip(words[:most]), "...")
	}
	return strings.Join(words, ", ")
}

// may asks the box what the caller may do, which is no request that the policy could
// refuse.
func may(ctx context.Context, c *models.Client) ([]policy.Action, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if c.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.Key)
	}
	text, err := fetchOwn(c.HTTP, r, "/me", 1<<20)
	if err != nil {
		return nil, err
	}
	var me struct {
		May []policy.Action `json:"may"`
	}
	err = json.Unmarshal(text, &me)
	return me.May, err
}

// advised is a refusal of the box with what the command that was refused has to say of it.
type advised struct {
	said *models.Error
	fix  string
}

func (a *advised) Error() string { return a.said.Error() }

// Unwrap returns what the box said.
func (a *advised) Unwrap() error { return a.said }

// withAdvice gives a refusal of this status advice. Everything else stays as it is.
func withAdvice(err error, status int, fix string) error {
	var said *models.Error
	if errors.As(err, &said) && said.Status == status {
		return &advised{said, fix}
	}
	return err
}

// howToAsk says how a model is asked, for who has asked it wrongly.
func howToAsk(d models.Description) string {
	line := "`" + askLine(d) + "`."
	switch what, _ := d.Asks(); what {
	case "":
		return "The model takes " + described(d.Inputs) + ", as arrays of JSON inside arrays: " + line
	case "text":
		return "Ask it about texts, or @FILE for one in a file: " + line
	default:
		return "Ask it about " + plural(what) + ": " + line
	}
}

// askLine is the command that asks a model.
func askLine(d models.Description) string {
	line := "blindbox model run " + shellWord(oneLine(d.Name))
	switch what, several := d.Asks(); {
	case what == "text" && several:
		return line + " TEXT..."
	case what == "text":
		return line + " TEXT"
	case what != "":
		return line + " FILE"
	}
	for _, v := range d.Inputs {
		line += " --input " + shellWord(oneLine(v.Name)) + "=@FILE"
	}
	return line
}
