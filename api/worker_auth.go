package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
)

var authObject = object[control.Auth]{
	name:        "WorkerAuth",
	description: "How the worker is told who pushes, beside the signature. Only the members of its type may be given; [redacted] stands for the secret that is stored.",
	defaults:    func() control.Auth { return control.Auth{} },
	fields: []field[control.Auth]{
		text("type", func(a *control.Auth) *control.AuthType { return &a.Type }, "must not be empty",
			choice("What is sent.", "basic", "bearer", "header", "oauth2", "mtls")).mandatory(),
		authText("username", "Of basic.", func(a *control.Auth) *string { return &a.Username }),
		authText("password", "Of basic.", func(a *control.Auth) *string { return &a.Password }),
		authText("token", "Of bearer.", func(a *control.Auth) *string { return &a.Token }),
		authText("name", "Of header: its name, such as x-api-key.", func(a *control.Auth) *string { return &a.Name }),
		authText("value", "Of header: its value.", func(a *control.Auth) *string { return &a.Value }),
		authText("token_url", "Of oauth2: where access tokens come from. It is dialled under the same guard as workers.", func(a *control.Auth) *string { return &a.TokenURL }),
		authText("client_id", "Of oauth2.", func(a *control.Auth) *string { return &a.ClientID }),
		authText("client_secret", "Of oauth2.", func(a *control.Auth) *string { return &a.ClientSecret }),
		list("scopes", func(a *control.Auth) *[]string { return &a.Scopes }, (*reader).text, &huma.Schema{Type: huma.TypeString}, doc("Of oauth2; at most 64.")),
		authText("audience", "Of oauth2, where its server wants one.", func(a *control.Auth) *string { return &a.Audience }),
		text("auth_style", func(a *control.Auth) *string { return &a.AuthStyle }, "must be header or body",
			choice("Of oauth2: how id and secret are sent; header where it is absent.", "header", "body")),
		authText("certificate", "Of mtls: the client's certificate, or its chain, as PEM.", func(a *control.Auth) *string { return &a.Certificate }),
		authText("key", "Of mtls: the certificate's private key as PEM.", func(a *control.Auth) *string { return &a.Key }),
		authText("ca", "Of mtls: the only authorities that the worker's certificate may come from, as PEM; the system's where it is absent.", func(a *control.Auth) *string { return &a.CA }),
	},
}

func authText(name, description string, at func(*control.Auth) *string) field[control.Auth] {
	return text(name, at, "must not be empty", doc(description))
}

// WorkerAuth is what is shown of a worker's auth.
type WorkerAuth struct {
	Type         string   `json:"type" enum:"basic,bearer,header,oauth2,mtls"`
	Username     string   `json:"username,omitempty"`
	Password     string   `json:"password,omitempty" doc:"[redacted]"`
	Token        string   `json:"token,omitempty" doc:"[redacted]"`
	Name         string   `json:"name,omitempty"`
	Value        string   `json:"value,omitempty" doc:"[redacted]"`
	TokenURL     string   `json:"token_url,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty" doc:"[redacted]"`
	Scopes       []string `json:"scopes,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	AuthStyle    string   `json:"auth_style,omitempty" enum:"header,body"`
	Certificate  string   `json:"certificate,omitempty" doc:"[redacted]"`
	Key          string   `json:"key,omitempty" doc:"[redacted]"`
	CA           string   `json:"ca,omitempty" doc:"[redacted]"`
}

func viewAuth(a *control.Auth) *WorkerAuth {
	if a.IsZero() {
		return nil
	}
	return &WorkerAuth{
		string(a.Type), a.Username, a.Password, a.Token, a.Name, a.Value, a.TokenURL, a.ClientID, a.ClientSecret, a.Scopes,
		a.Audience, a.AuthStyle, a.Certificate, a.Key, a.CA,
	}
}
