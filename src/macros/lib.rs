//! The attribute `#[chunkstore::task]`, which registers a function. `chunkstore` exports it; its documentation stands there.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens, TokenTree};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, LitInt, LitStr, Result, Token, Type};

/// The most parameters that a task can have.
const MOST: usize = 12;

/// Registers a function, so that equal calls of it have equal keys, in other processes too.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = Tokens::from(item.clone());
    // What is wrong is said beside the function, which others may use.
    expand(options, item).unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote! { #error #function }.into()
    })
}

/// What stands in the attribute's parentheses.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    version: Option<LitInt>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Options::default();
        while !input.is_empty() {
            let option: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let again = match option.to_string().as_str() {
                "name" => {
                    let name: LitStr = input.parse()?;
                    if name.value().trim().is_empty() {
                        return Err(Error::new(name.span(), "a task's name is not empty"));
                    }
                    options.name.replace(name).is_some()
                }
                "version" => {
                    let version: LitInt = input.parse()?;
                    version
                        .base10_parse::<u32>()
                        .map_err(|_| Error::new(version.span(), "a task's version is a number from 0 to 2^32 - 1"))?;
                    options.version.replace(version).is_some()
                }
                _ => return Err(Error::new(option.span(), "a task is told `name = \"...\"` and `version = 1`, and nothing else")),
            };
            if again {
                return Err(Error::new(option.span(), format!("`{option}` is given twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options: Options = syn::parse(options)?;
    let function: ItemFn = syn::parse(item).map_err(|_| Error::new(Span::call_site(), "`#[task]` stands before a `fn` with a body"))?;
    let parameters = parameters(&function)?;
    let name = match &options.name {
        Some(name) => quote!(::core::option::Option::Some(#name)),
        None => quote!(::core::option::Option::None),
    };
    let version = match &options.version {
        Some(version) => quote!(::core::option::Option::Some(#version)),
        None => quote!(::core::option::Option::None),
    };
    // Each type is looked at on its own, so that the compiler points at the one that cannot be taken.
    let checks = parameters.iter().map(|ty| quote_spanned!(ty.span()=> ::chunkstore::__private::argument::<#ty>();));
    let returned = match &function.sig.output {
        syn::ReturnType::Default => quote!(()),
        syn::ReturnType::Type(_, ty) => quote!(#ty),
    };
    // What borrows cannot be read back, which the compiler could not tell from bounds.
    let codec = match borrows(returned.clone()) {
        true => quote!(::core::option::Option::None),
        false => quote!((&&&::chunkstore::__private::Returned::<#returned>::new()).codec()),
    };
    let conditions = function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let ident = &function.sig.ident;
    Ok(quote! {
        #function

        #(#conditions)*
        const _: () = {
            #[allow(dead_code)]
            fn arguments() {
                #(#checks)*
            }
            ::chunkstore::__private::submit! {
                ::chunkstore::__private::Task::new(
                    || {
                        #[allow(unused_imports)]
                        use ::chunkstore::__private::{NoCodec as _, ResultCodec as _, SerdeCodec as _};
                        let codec = #codec;
                        ::chunkstore::__private::Declared::new(#ident, #name, #version, codec)
                    },
                    ::chunkstore::__private::build_of,
                )
            }
        };
    }
    .into())
}

/// Whether a type has references or lifetimes in it.
fn borrows(ty: Tokens) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => matches!(punct.as_char(), '&' | '\''),
        TokenTree::Group(group) => borrows(group.stream()),
        _ => false,
    })
}

/// The types of a function's parameters, if it is one that can be registered.
fn parameters(function: &ItemFn) -> Result<Vec<&Type>> {
    let signature = &function.sig;
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = "a task has no generic parameters: another process has to find it by its name; write a function for each type";
        return Err(Error::new(signature.generics.span(), message));
    }
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new(asyncness.span(), "a task is not `async`: its value is what it returns"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new(abi.span(), "a task is a plain Rust function"));
    }
    if signature.inputs.len() > MOST {
        return Err(Error::new(signature.inputs.span(), format!("a task has at most {MOST} parameters; take some of them as a tuple")));
    }
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => return Err(Error::new(receiver.span(), "a task is a function of its own and no method")),
            FnArg::Typed(typed) => match &*typed.ty {
                Type::Reference(reference) => {
                    let message =
                        "a task takes values and no references: `Arc<T>` shares what is large, `String` and `Vec<T>` are taken as they are";
                    return Err(Error::new(reference.span(), message));
                }
                Type::ImplTrait(ty) => return Err(Error::new(ty.span(), "a task has no generic parameters: name the type")),
                ty => types.push(ty),
            },
        }
    }
    if let syn::ReturnType::Type(_, ty) = &signature.output
        && let Type::ImplTrait(ty) = &**ty
    {
        return Err(Error::new(ty.span(), "a task names the type of what it returns"));
    }
    Ok(types)
}
