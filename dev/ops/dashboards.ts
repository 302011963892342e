// The types that dashboards.sh holds each dashboard to, as Grafana publishes them.
import type { DataQuery, Dashboard, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type { FieldConfig as GraphField, Options as GraphOptions } from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';

// A JSON file has the text of an enum's member, not the member.
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

type Config<Custom> = Omit<NonNullable<Panel['fieldConfig']>, 'defaults'> & {
  defaults: Omit<NonNullable<Panel['fieldConfig']>['defaults'], 'custom'> & { custom?: Custom };
};
type Shown<Type extends string, Options, Custom> = Omit<Panel, 'type' | 'options' | 'targets' | 'fieldConfig'> & {
  type: Type;
  options: Options;
  targets: (DataQuery & { expr: string; legendFormat: string })[];
  fieldConfig: Config<Custom>;
};
type Each = Json<Shown<'timeseries', GraphOptions, Partial<GraphField>>> | Json<Shown<'stat', StatOptions, never>> | Json<RowPanel>;

export type Checked = Omit<Json<Dashboard>, 'panels' | 'templating'> & { panels: Each[]; templating: { list: Json<VariableModel>[] } };
